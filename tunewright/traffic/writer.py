"""The writer: `.log()` puts an exchange into a queue and returns; one thread turns queues into transactions.

    writer = store.writer()
    writer.log(exchange)        # microseconds, never blocks, never raises
    writer.close()              # everything accepted is in the store, or in the spill file

What is promised while the database answers: whatever was accepted is in the database 100 ms later at the latest (a batch is begun
`FLUSH_SECONDS` after its first row), so that `kill -9` costs no more than the last 100 ms. When the database does not answer, each
batch is tried again twice, then goes to the spill file (see `spill.py`) in the same rhythm and is taken in when the database is
back; when the disk does not take it either, rows wait in memory, at most `capacity` of them, and what comes on top is counted as
dropped. Answers go on all the while; `stats()` and the log say what happens.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from tunewright.traffic import schema
from tunewright.traffic.keep import Keeper
from tunewright.traffic.place import Place
from tunewright.traffic.record import Exchange, Feedback
from tunewright.traffic.spill import Batch, Spill, append

log = logging.getLogger("tunewright.traffic")
FLUSH_SECONDS = 0.05  # from the first row that waits to the transaction that stores it
BATCH = 1000  # rows; so many are stored without waiting
CAPACITY = 50_000  # rows in memory, waiting or held
PAUSES = (0.02, 0.1)  # before the second and the third attempt at a batch
PROBE_SECONDS = (0.5, 10.0)  # between two looks whether the database is back: first, at most
PURGE_SECONDS = 3600.0


@dataclass
class _Counts:
    accepted: int = 0
    stored: int = 0
    spilled: int = 0
    recovered: int = 0
    rejected: int = 0
    dropped: int = 0


class TrafficWriter:
    """Made by `TrafficStore.writer()`. Any thread may call it."""

    def __init__(self, place: Place, keeper: Keeper, spill: Spill, purge: Callable[[], object] | None, capacity: int = CAPACITY) -> None:
        self.place, self.keeper, self.capacity = place, keeper, capacity
        self._engine, self._spill, self._purge = place.engine(writes=True), spill, purge
        self._queue: deque[Exchange | Feedback] = deque()
        self._held: Batch = []
        self._lock, self._settled = threading.Lock(), threading.Condition()
        self._wake, self._full = threading.Event(), threading.Event()
        self._counts, self._done = _Counts(), 0
        self._closing, self._down = False, ""
        self._probe_at, self._probe_pause = 0.0, PROBE_SECONDS[0]
        self._purge_at = time.monotonic() + (60 if purge else float("inf"))
        self._told_dropped = 0.0
        self._flush_seconds = 0.0
        self._leftovers = True  # spill files of earlier processes may be there
        self._thread = threading.Thread(target=self._run, name="traffic-writer", daemon=True)
        self._thread.start()

    def log(self, exchange: Exchange) -> None:
        """Keep one exchange; returns at once."""
        self._accept(exchange)

    def feedback(self, given: Feedback) -> None:
        """Keep what somebody said of an answer; returns at once."""
        self._accept(given)

    def _accept(self, one: Exchange | Feedback) -> None:
        with self._lock:
            self._counts.accepted += 1
            fits = len(self._queue) + len(self._held) < self.capacity and not self._closing
            if fits:
                self._queue.append(one)
        if not fits:
            self._drop(1)
            self._settle(1)
            return
        if not self._wake.is_set():
            self._wake.set()
        if len(self._queue) >= BATCH:
            self._full.set()

    def flush(self, seconds: float = 30.0) -> bool:
        """Wait until all that was accepted before is in the store or the spill file; False when that took too long."""
        with self._settled:
            target = self._counts.accepted
            self._wake.set()
            self._full.set()
            return self._settled.wait_for(lambda: self._done >= target, timeout=seconds)

    def close(self) -> None:
        """Flush, end the thread, give the connections back."""
        self.flush()
        self._closing = True
        self._wake.set()
        self._full.set()
        self._thread.join(30)
        self._spill.close()
        self._engine.dispose()

    def stats(self) -> dict[str, Any]:
        """Counters and gauges for /metrics; `down` says why the database is away, '' while it answers."""
        waiting = {"waiting": len(self._queue), "held": len(self._held), "flush_seconds": self._flush_seconds, "down": self._down}
        return {**vars(self._counts), **waiting}

    def __enter__(self) -> TrafficWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # The thread.

    def _run(self) -> None:
        while True:
            self._wake.wait(timeout=self._idle_seconds())
            if not self._closing and not self._down and self._queue:
                self._full.wait(FLUSH_SECONDS)
            self._wake.clear()
            self._full.clear()
            try:
                self._round()
            except Exception:  # a bug of ours must not end the log: say it, go on
                log.exception("traffic: the writer failed on a batch and goes on")
            if self._closing and not self._queue:
                return

    def _idle_seconds(self) -> float:
        if self._down or self._leftovers:
            return min(0.2, PROBE_SECONDS[0]) if not self._queue else FLUSH_SECONDS
        return max(0.05, min(60.0, self._purge_at - time.monotonic()))

    def _round(self) -> None:
        while self._queue:
            taken = [self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))]
            try:
                self._keep(self._rows(taken))
            finally:
                self._settle(len(taken))
        if (self._down or self._leftovers) and (time.monotonic() >= self._probe_at or self._closing):
            self._recover()
        if self._purge is not None and time.monotonic() >= self._purge_at and not self._down:
            self._purge_at = time.monotonic() + PURGE_SECONDS
            self._purge()

    def _settle(self, rows: int) -> None:
        with self._settled:
            self._done += rows
            self._settled.notify_all()

    def _rows(self, taken: list[Exchange | Feedback]) -> Batch:
        try:
            return _rows(self.keeper, taken)
        except Exception:  # a text that breaks the redaction must cost its words, not the row
            log.exception("traffic: texts of %d rows cannot be prepared; only their hashes are kept", len(taken))
            return _rows(Keeper("hash"), taken)

    def _keep(self, batch: Batch) -> None:
        """Store the rows; failing that, spill them; failing that, hold them."""
        for pause in () if self._down else (*PAUSES, None):
            try:
                self._store(batch)
            except Exception as error:
                if not _away(error):
                    self._store_singly(batch)
                    return
                if pause is None:
                    self._fell(self.place.reason(error))
                    break
                time.sleep(pause)
            else:
                return
        self._set_aside(batch)

    def _store(self, batch: Batch) -> None:
        clock = time.monotonic()
        insert_rows(self._engine, batch)
        self._counts.stored += len(batch)
        self._flush_seconds = time.monotonic() - clock

    def _store_singly(self, batch: Batch) -> None:
        """One row is bad: store the others, keep it in a file with the database's reason."""
        for one in batch:
            try:
                self._store([one])
            except Exception as error:
                if _away(error):
                    self._fell(self.place.reason(error))
                    self._set_aside([one])
                    continue
                self._counts.rejected += 1
                path = self._spill.folder / "rejected.log"
                append(path, [one], self.place.reason(error))
                log.error("traffic: %s refuses a row (%s); it is kept in %s", self.place.name, self.place.reason(error), path)

    def _set_aside(self, batch: Batch) -> None:
        try:
            self._spill.write(batch)
            self._counts.spilled += len(batch)
        except OSError as error:
            room = max(0, self.capacity - len(self._held))
            self._held += batch[:room]
            if batch[room:]:
                self._drop(len(batch) - room)
            log.error("traffic: the spill file cannot be written (%s); %d rows wait in memory", error, len(self._held))

    def _fell(self, reason: str) -> None:
        if not self._down:
            log.error("traffic: %s does not take rows (%s); they go to %s until it does", self.place.name, reason, self._spill.folder)
        self._down = reason
        self._probe_at, self._probe_pause = time.monotonic() + PROBE_SECONDS[0], PROBE_SECONDS[0]

    def _recover(self) -> None:
        """Is the database back? Then take in what was set aside."""
        try:
            if self._held:
                insert_rows(self._engine, self._held)
                self._counts.stored += len(self._held)
                self._held = []
            taken = self._spill.take_back(lambda batch: insert_rows(self._engine, batch))
            with self._engine.connect() as connection:
                connection.execute(sa.text("SELECT 1"))
        except (sa.exc.SQLAlchemyError, OSError) as error:
            if not self._down:
                self._fell(self.place.reason(error))
            self._probe_pause = min(PROBE_SECONDS[1], self._probe_pause * 2)
            self._probe_at = time.monotonic() + self._probe_pause
            return
        self._counts.recovered += taken
        if self._down or taken:
            log.warning("traffic: %s answers again; %d rows taken in from %s", self.place.name, taken, self._spill.folder)
        self._down, self._leftovers = "", False

    def _drop(self, rows: int) -> None:
        self._counts.dropped += rows
        if time.monotonic() - self._told_dropped > 10:
            self._told_dropped = time.monotonic()
            log.error("traffic: %d rows dropped so far: neither the database nor the disk takes them fast enough", self._counts.dropped)


def insert_rows(engine: sa.Engine, batch: Batch) -> None:
    """Insert rows in one transaction; rows that are there already are left alone."""
    insert = postgresql.insert if engine.dialect.name == "postgresql" else sqlite.insert
    with engine.begin() as connection:
        for name in ("requests", "feedback"):
            rows = [row for table, row in batch if table == name]
            if rows:
                connection.execute(insert(schema.metadata.tables[name]).on_conflict_do_nothing(), rows)


def spill_folder(place: Place, base: Path) -> Path:
    """Beside an SQLite file; for a server, in `base`."""
    return place.file.with_name(f"{place.file.name}.spill") if place.file is not None else base / "traffic.spill"


def _rows(keeper: Keeper, taken: list[Exchange | Feedback]) -> Batch:
    exchanges = [one for one in taken if isinstance(one, Exchange)]
    said = [one for one in taken if isinstance(one, Feedback)]
    rows: Batch = [("requests", row) for row in keeper.requests(exchanges)] if exchanges else []
    return rows + ([("feedback", row) for row in keeper.feedback(said)] if said else [])


def _away(error: Exception) -> bool:
    """True when the database does not answer (or has no tables), False when it does not want this row, now or ever."""
    if isinstance(error, sa.exc.ProgrammingError) and any(words in str(error) for words in ("no such table", "does not exist")):
        return True
    return isinstance(error, sa.exc.OperationalError | sa.exc.InternalError | sa.exc.TimeoutError | OSError) or (
        isinstance(error, sa.exc.DBAPIError) and error.connection_invalidated
    )
