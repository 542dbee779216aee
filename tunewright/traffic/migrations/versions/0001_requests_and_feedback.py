"""Requests and feedback."""

import sqlalchemy as sa
from alembic import op

from tunewright.traffic.schema import NUMBER, Utc

revision = "0001"
down_revision = None


def upgrade() -> None:
    text = (("id", 80), ("endpoint", 40), ("model", 200), ("version", 200), ("release", 80), ("base", 80), ("side", 20))
    op.create_table(
        "requests",
        *(sa.Column(name, sa.String(size), primary_key=name == "id", nullable=False) for name, size in text),
        sa.Column("time", Utc, nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        *(sa.Column(name, sa.Text) for name in ("prompt", "answer", "label", "probabilities", "error", "extra")),
        sa.Column("prompt_hash", sa.String(40)),
        sa.Column("confidence", sa.Float),
        *(sa.Column(name, sa.Integer, nullable=False) for name in ("prompt_tokens", "completion_tokens", "cached_tokens")),
        *(sa.Column(name, sa.Float, nullable=False) for name in ("seconds", "queue_seconds")),
        *(sa.Column(name, sa.Float) for name in ("first_token_seconds", "mean_logprob")),
        sa.Column("finish", sa.String(20)),
        sa.Column("format_ok", sa.Boolean),
        *(sa.Column(name, sa.String(80)) for name in ("key", "caller", "shadow_of")),
    )
    op.create_index("requests_by_time", "requests", ["time"])
    op.create_index("requests_by_version", "requests", ["version", "side", "time"])
    op.create_index("requests_by_prompt", "requests", ["prompt_hash"])
    op.create_index("requests_by_shadow", "requests", ["shadow_of"])
    op.create_table(
        "feedback",
        sa.Column("id", NUMBER, primary_key=True, autoincrement=True),
        sa.Column("mark", sa.String(40), nullable=False, unique=True),
        sa.Column("request_id", sa.String(80), nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.Column("time", Utc, nullable=False),
        sa.Column("by", sa.String(200), nullable=False),
        sa.Column("event_time", Utc),
        sa.Column("sampled", sa.String(20), nullable=False),
        sa.Column("approved", sa.Boolean, nullable=False),
        sa.Column("approved_by", sa.String(200)),
        sa.Column("approved_at", Utc),
        sa.Column("note", sa.Text),
    )
    op.create_index("feedback_by_request", "feedback", ["request_id"])
    op.create_index("feedback_by_time", "feedback", ["time"])
