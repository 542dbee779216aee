"""The tables of the traffic store, the same on SQLite and PostgreSQL. A change here needs a file in `migrations/versions/`.

requests    chatcmpl-9f2 | 2026-11-27 10:03:09.12 | chat | reviews | reviews@3 | champion | 200 | <EMAIL> is broken | negative | ...
feedback    17 | chatcmpl-9f2 | label | neutral | 2026-11-28 09:00 | ann | uniform | approved
"""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import BigInteger, Boolean, Column, DateTime, Float, Index, Integer, MetaData, String, Table, Text, TypeDecorator
from sqlalchemy.engine import Dialect


class Utc(TypeDecorator[datetime]):
    """A moment: `timestamptz` on PostgreSQL; on SQLite, which knows no zones, UTC text that sorts by time."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"a time in the traffic store must have a zone, but got {value!r}")
        value = value.astimezone(UTC)
        return value if dialect.name == "postgresql" else value.replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


NUMBER = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts up only an INTEGER
metadata = MetaData()


def _index(name: str, *columns: str) -> Index:
    return Index(name, *columns)


requests = Table(
    "requests",
    metadata,
    Column("id", String(80), primary_key=True),
    Column("time", Utc, nullable=False),
    Column("endpoint", String(40), nullable=False),
    Column("model", String(200), nullable=False),
    Column("version", String(200), nullable=False),
    Column("release", String(80), nullable=False),
    Column("base", String(80), nullable=False),
    Column("side", String(20), nullable=False),
    Column("status", Integer, nullable=False),
    Column("prompt", Text),
    Column("answer", Text),
    Column("prompt_hash", String(40)),
    Column("label", Text),
    Column("probabilities", Text),  # JSON
    Column("confidence", Float),  # the largest probability
    Column("prompt_tokens", Integer, nullable=False),
    Column("completion_tokens", Integer, nullable=False),
    Column("cached_tokens", Integer, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("queue_seconds", Float, nullable=False),
    Column("first_token_seconds", Float),
    Column("finish", String(20)),
    Column("mean_logprob", Float),
    Column("format_ok", Boolean),
    Column("key", String(80)),
    Column("caller", String(80)),
    Column("shadow_of", String(80)),
    Column("error", Text),
    Column("extra", Text),  # JSON
    _index("requests_by_time", "time"),
    _index("requests_by_version", "version", "side", "time"),
    _index("requests_by_prompt", "prompt_hash"),
    _index("requests_by_shadow", "shadow_of"),
)

feedback = Table(
    "feedback",
    metadata,
    Column("id", NUMBER, primary_key=True, autoincrement=True),
    Column("mark", String(40), nullable=False, unique=True),  # the same words of the same person are kept once
    Column("request_id", String(80), nullable=False),  # also of requests that are not here: reported, never thrown away
    Column("kind", String(20), nullable=False),
    Column("value", Text, nullable=False),
    Column("time", Utc, nullable=False),
    Column("by", String(200), nullable=False),
    Column("event_time", Utc),
    Column("sampled", String(20), nullable=False),
    Column("approved", Boolean, nullable=False),
    Column("approved_by", String(200)),
    Column("approved_at", Utc),
    Column("note", Text),
    _index("feedback_by_request", "request_id"),
    _index("feedback_by_time", "time"),
)

reviews = Table(
    "reviews",
    metadata,
    Column("request_id", String(80), primary_key=True),
    Column("sampled", String(20), nullable=False),  # uniform (may estimate accuracy) or targeted (only trains)
    Column("drawn_at", Utc, nullable=False),
    Column("drawn_by", String(200), nullable=False),
    Column("rejected_by", String(200)),  # a reviewer said that it teaches nothing
)

windows = Table(
    "windows",
    metadata,
    Column("id", NUMBER, primary_key=True, autoincrement=True),
    Column("version", String(200), nullable=False),
    Column("side", String(20), nullable=False),
    Column("start", Utc, nullable=False),  # of its first request
    Column("stop", Utc, nullable=False),  # of its last
    Column("requests", Integer, nullable=False),
    Column("drifted", Boolean, nullable=False),  # any drift signal beyond its threshold
    Column("signals", Text, nullable=False),  # JSON: what the monitor measured
    Column("written", Utc, nullable=False),
    _index("windows_by_version", "version", "stop"),
)

alerts = Table(
    "alerts",
    metadata,
    Column("id", NUMBER, primary_key=True, autoincrement=True),
    Column("key", String(200), nullable=False),  # what makes two alerts the same: "reviews@3/input_length"
    Column("version", String(200), nullable=False),
    Column("signal", String(80), nullable=False),
    Column("severity", String(20), nullable=False),  # info, warning, critical
    Column("state", String(20), nullable=False),  # pending, open, closed
    Column("opened", Utc, nullable=False),
    Column("updated", Utc, nullable=False),
    Column("closed", Utc),
    Column("notified", Utc),  # when somebody was last told
    Column("count", Integer, nullable=False),  # windows beyond the threshold so far
    Column("message", Text, nullable=False),
    Column("detail", Text, nullable=False),  # JSON: what moved, examples, what to do
    _index("alerts_by_key", "key", "state"),
    _index("alerts_by_version", "version", "opened"),
)


def columns(table: Table) -> list[str]:
    return [column.name for column in table.columns]
