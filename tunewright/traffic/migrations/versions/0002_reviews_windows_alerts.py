"""The queue of answers to review; the monitor's windows and alerts."""

import sqlalchemy as sa
from alembic import op

from tunewright.traffic.schema import NUMBER, Utc

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "reviews",
        sa.Column("request_id", sa.String(80), primary_key=True),
        sa.Column("sampled", sa.String(20), nullable=False),
        sa.Column("drawn_at", Utc, nullable=False),
        sa.Column("drawn_by", sa.String(200), nullable=False),
        sa.Column("rejected_by", sa.String(200)),
    )
    op.create_table(
        "windows",
        sa.Column("id", NUMBER, primary_key=True, autoincrement=True),
        sa.Column("version", sa.String(200), nullable=False),
        sa.Column("side", sa.String(20), nullable=False),
        *(sa.Column(name, Utc, nullable=False) for name in ("start", "stop", "written")),
        sa.Column("requests", sa.Integer, nullable=False),
        sa.Column("drifted", sa.Boolean, nullable=False),
        sa.Column("signals", sa.Text, nullable=False),
    )
    op.create_index("windows_by_version", "windows", ["version", "stop"])
    op.create_table(
        "alerts",
        sa.Column("id", NUMBER, primary_key=True, autoincrement=True),
        sa.Column("key", sa.String(200), nullable=False),
        sa.Column("version", sa.String(200), nullable=False),
        sa.Column("signal", sa.String(80), nullable=False),
        sa.Column("severity", sa.String(20), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        *(sa.Column(name, Utc, nullable=False) for name in ("opened", "updated")),
        *(sa.Column(name, Utc) for name in ("closed", "notified")),
        sa.Column("count", sa.Integer, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
    )
    op.create_index("alerts_by_key", "alerts", ["key", "state"])
    op.create_index("alerts_by_version", "alerts", ["version", "opened"])
