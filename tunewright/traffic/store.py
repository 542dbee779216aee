"""The traffic store: opened by URL, migrated when opened, written through one queue, read as Polars frames.

with TrafficStore.open("sqlite:///traffic.db") as store:
    with store.writer() as writer:
        writer.log(exchange)
    store.exchanges(versions="reviews@3", last=500)
    store.labelled(versions="reviews@3", sampled="uniform")
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl
import sqlalchemy as sa

from tunewright.core.loop import TrafficSettings
from tunewright.traffic import migrate, read, review, schema, watch
from tunewright.traffic.keep import Keeper
from tunewright.traffic.place import Place
from tunewright.traffic.read import Filter, Names
from tunewright.traffic.record import Feedback
from tunewright.traffic.spill import Spill
from tunewright.traffic.writer import CAPACITY, TrafficWriter, spill_folder

PURGED_AT_ONCE = 5000  # rows of one transaction, so that nobody waits long for the purge


class TrafficStore:
    """One database of requests and what people said of the answers. Methods may be called from any thread; those that read or write block."""

    def __init__(self, place: Place, settings: TrafficSettings, base_dir: Path) -> None:
        self.place, self.settings, self._base = place, settings, base_dir
        self.engine = place.engine()

    @classmethod
    def open(cls, settings_or_url: TrafficSettings | str, base_dir: Path | None = None) -> TrafficStore:
        """Open (and create or upgrade) the store; files are relative to `base_dir`, the working directory by default. Raises `RunError`."""
        settings = TrafficSettings(url=settings_or_url) if isinstance(settings_or_url, str) else settings_or_url
        base = base_dir or Path.cwd()
        store = cls(Place.of(settings.url, base), settings, base)
        with store.place.errors():
            migrate.migrate(store.place, store.engine)
        return store

    def close(self) -> None:
        self.engine.dispose()

    def __enter__(self) -> TrafficStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @cached_property
    def keeper(self) -> Keeper:
        """What decides how much of a text is kept."""
        return Keeper(self.settings.keep)

    def writer(self, capacity: int = CAPACITY) -> TrafficWriter:
        """The queue and its thread; one of them for each process. Raises `EnvironmentProblem` when redaction lacks its library."""
        purge = self.purge if self.settings.retention_days is not None else None
        return TrafficWriter(self.place, self.keeper, Spill(spill_folder(self.place, self._base)), purge, capacity)

    # Reading. Every filter that is given narrows the choice; see `read.Filter`.

    def exchanges(
        self,
        *,
        versions: Names = None,
        models: Names = None,
        sides: Names = None,
        endpoints: Names = None,
        since: datetime | None = None,
        until: datetime | None = None,
        after: tuple[datetime, str] | None = None,
        ids: Sequence[str] | None = None,
        last: int | None = None,
        limit: int | None = None,
        columns: Sequence[str] | None = None,
    ) -> pl.DataFrame:
        """Requests in order of (time, id)."""
        chosen = Filter(versions, models, sides, endpoints, since, until, after)
        with self.place.errors():
            return read.exchanges(self.engine, chosen, ids, last, limit, columns)

    def feedback(
        self,
        *,
        ids: Sequence[str] | None = None,
        kinds: Names = None,
        since: datetime | None = None,
        until: datetime | None = None,
        versions: Names = None,
        sides: Names = None,
    ) -> pl.DataFrame:
        """Feedback in order of arrival; `known` is false where the request is not in the store."""
        chosen = Filter(versions, sides=sides) if versions is not None or sides is not None else None
        with self.place.errors():
            return read.said(self.engine, ids, kinds, since, until, chosen)

    def labelled(
        self,
        *,
        versions: Names = None,
        models: Names = None,
        sides: Names = None,
        since: datetime | None = None,
        until: datetime | None = None,
        sampled: Names = None,
        approved: bool | None = None,
        arrived_before: datetime | None = None,
    ) -> pl.DataFrame:
        """Requests for which somebody said what is right; see `read.labelled`."""
        with self.place.errors():
            return read.labelled(self.engine, Filter(versions, models, sides, None, since, until), sampled, approved, arrived_before)

    def count(self, *, versions: Names = None, sides: Names = None, since: datetime | None = None, until: datetime | None = None) -> int:
        """Number of requests."""
        query = sa.select(sa.func.count()).select_from(schema.requests)
        return int(self._scalar(query.where(*Filter(versions, sides=sides, since=since, until=until).where())) or 0)

    def count_of(self, ids: Sequence[str]) -> int:
        """How many of these requests are in the store."""
        with self.place.errors():
            return len(read.exchanges(self.engine, Filter(), ids, columns=["id", "time"]))

    def latest_time(self, *, versions: Names = None, sides: Names = None) -> datetime | None:
        """When the newest request came."""
        query = sa.select(schema.requests.c.time).where(*Filter(versions, sides=sides).where())
        found = self._scalar(query.order_by(schema.requests.c.time.desc()).limit(1))
        return found if isinstance(found, datetime) else None

    def _scalar(self, query: sa.Select[Any]) -> Any:
        with self.place.errors(), self.engine.connect() as connection:
            return connection.execute(query).scalar()

    # People's words.

    def add_feedback(self, words: Sequence[Feedback]) -> int:
        """Store feedback now (a server uses its writer instead). Returns how many are new."""
        with self.place.errors():
            return review.add(self.engine, words, self.keeper)

    def approve(self, request_ids: Sequence[str], by: str) -> tuple[int, dict[str, str]]:
        """Approve what was said of these requests, or our own answers, for training; (how many, {id: why not})."""
        with self.place.errors():
            return review.approve(self.engine, request_ids, by)

    def reject(self, request_ids: Sequence[str], by: str) -> int:
        """Take requests out of the review queue and their labels out of training."""
        with self.place.errors():
            return review.reject(self.engine, request_ids, by)

    def draw(self, count: int, sampled: review.Sample, by: str, chosen: Filter | None = None, seed: int | None = None) -> pl.DataFrame:
        """Put more answers into the review queue."""
        with self.place.errors():
            return review.draw(self.engine, chosen or Filter(), count, sampled, by, seed)

    def queue(self, sampled: review.Sample | None = None, limit: int | None = None) -> pl.DataFrame:
        """Answers that wait for review."""
        with self.place.errors():
            return review.queue(self.engine, sampled, limit)

    # The monitor's tables.

    def add_window(
        self, *, version: str, side: str, start: datetime, stop: datetime, requests: int, drifted: bool, signals: Mapping[str, Any]
    ) -> int:
        """Keep what the monitor measured on one window."""
        with self.place.errors():
            return watch.add_window(self.engine, version, side, start, stop, requests, drifted, signals)

    def windows(
        self, *, versions: Names = None, since: datetime | None = None, side: str | None = None, last: int | None = None
    ) -> pl.DataFrame:
        """Windows in order of their end."""
        with self.place.errors():
            return watch.windows(self.engine, versions, since, side, last)

    def save_alert(self, values: Mapping[str, Any], number: int | None = None) -> int:
        """Insert an alert, or change alert `number`."""
        with self.place.errors():
            return watch.save_alert(self.engine, values, number)

    def alerts(self, *, versions: Names = None, states: Names = None, since: datetime | None = None) -> pl.DataFrame:
        """Alerts in the order they were opened."""
        with self.place.errors():
            return watch.alerts(self.engine, versions, states, since)

    # Housekeeping.

    def purge(self, now: datetime | None = None, days: float | None = None) -> dict[str, int]:
        """Delete requests older than `days` (default: `retention_days`), with what was said of them. Returns rows deleted by table."""
        days = self.settings.retention_days if days is None else days
        if days is None:
            return {"requests": 0, "feedback": 0, "reviews": 0}
        before = (now or datetime.now(UTC)) - timedelta(days=days)
        deleted = dict.fromkeys(("requests", "feedback", "reviews"), 0)
        old = sa.select(schema.requests.c.id).where(schema.requests.c.time < before).limit(PURGED_AT_ONCE)
        with self.place.errors():
            while True:
                with self.engine.begin() as connection:
                    ids = list(connection.execute(old).scalars())
                    for table, column in ((schema.feedback, "request_id"), (schema.reviews, "request_id"), (schema.requests, "id")):
                        deleted[table.name] += connection.execute(table.delete().where(table.c[column].in_(ids))).rowcount if ids else 0
                if len(ids) < PURGED_AT_ONCE:
                    break
            known = sa.select(schema.requests.c.id).where(schema.requests.c.id == schema.feedback.c.request_id).exists()
            with self.engine.begin() as connection:
                orphans = schema.feedback.delete().where(schema.feedback.c.time < before, ~known)
                deleted["feedback"] += connection.execute(orphans).rowcount
        return deleted

    def stats(self) -> dict[str, Any]:
        """What is in the store: requests by version and side, feedback by kind, what is unknown, what waits."""
        requests, feedback = schema.requests.c, schema.feedback.c
        failed = sa.func.sum(sa.case((requests.status >= 400, 1), else_=0)).label("failed")
        by_side = (
            sa.select(
                requests.version,
                requests.side,
                sa.func.count().label("requests"),
                failed,
                sa.func.min(requests.time).label("first"),
                sa.func.max(requests.time).label("last"),
            )
            .group_by(requests.version, requests.side)
            .order_by(requests.version, requests.side)
        )
        kinds = sa.select(feedback.kind, feedback.sampled, feedback.approved, sa.func.count().label("rows")).group_by(
            feedback.kind, feedback.sampled, feedback.approved
        )
        unknown = sa.select(sa.func.count()).select_from(schema.feedback).where(feedback.request_id.not_in(sa.select(requests.id)))
        waiting = self.queue()["sampled"].value_counts()
        with self.place.errors():
            return {
                "store": self.place.name,
                "schema": migrate.version(self.engine),
                "requests": read.frame(self.engine, by_side).to_dicts(),
                "feedback": read.frame(self.engine, kinds.order_by(feedback.kind, feedback.sampled, feedback.approved)).to_dicts(),
                "feedback_on_unknown_requests": int(self._scalar(unknown)),
                "to_review": {str(name): int(rows) for name, rows in waiting.iter_rows()},
                "waiting_in_spill_files": Spill(spill_folder(self.place, self._base)).waiting,
                "bytes": _size(self.place.file),
            }


def _size(file: Path | None) -> int | None:
    return None if file is None else sum(one.stat().st_size for one in (file, file.with_name(f"{file.name}-wal")) if one.exists())
