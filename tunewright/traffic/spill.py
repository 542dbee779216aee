"""Where rows go while the database is away: one jsonl file a process, taken back in when the database answers again.

`traffic.db.spill/5f0a....jsonl`: {"table": "requests", "row": {"id": "chatcmpl-9f2", "time": "2026-11-27T10:03:09+00:00", ...}}

Each process holds a lock on its own file for as long as it lives, so that another takes in only files of processes that are dead.
Rows are as the store keeps them: redacted if it redacts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
from filelock import FileLock, Timeout

from tunewright.core.files import append_jsonl
from tunewright.traffic.keep import Row, plain

Batch = list[tuple[str, Row]]  # (table, row)
TIMES = ("time", "event_time", "approved_at")


class Spill:
    """The spill files of one store, seen by one process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._path = folder / f"{uuid4().hex}.jsonl"
        self._lock: FileLock | None = None

    def write(self, batch: Batch) -> None:
        """Append rows whole; raises `OSError` (and leaves no half line) when the disk does not take them."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if self._lock is None:
            lock = FileLock(self._path.with_suffix(".lock"))
            lock.acquire(timeout=0)
            self._lock = lock
        data = b"".join(orjson.dumps({"table": table, "row": plain(row)}) + b"\n" for table, row in batch)
        with open(self._path, "ab", buffering=0) as stream:
            start = stream.tell()
            try:
                view = memoryview(data)
                while view:
                    view = view[stream.write(view) :]
            except OSError:
                stream.truncate(start)
                raise

    def take_back(self, store: Callable[[Batch], object], size: int = 1000) -> int:
        """Give all rows, of dead processes too, to `store`; a file is deleted once all its rows are in. Returns their number."""
        if not self.folder.is_dir():
            return 0
        taken = 0
        for path in sorted(self.folder.glob("*.jsonl")):
            mine = path == self._path
            lock = None if mine else _claim(path)
            if not mine and lock is None:
                continue
            try:
                batch = _read(path)
                for start in range(0, len(batch), size):
                    store(batch[start : start + size])
                path.unlink(missing_ok=True)
                taken += len(batch)
            finally:
                if lock is not None:
                    lock.release()
                    if not path.exists():
                        path.with_suffix(".lock").unlink(missing_ok=True)
        return taken

    def close(self) -> None:
        if self._lock is not None:
            self._lock.release()
            if not self._path.exists():
                self._path.with_suffix(".lock").unlink(missing_ok=True)
            self._lock = None

    @property
    def waiting(self) -> int:
        """Rows in spill files that are not in the store yet."""
        return sum(len(_read(path)) for path in self.folder.glob("*.jsonl")) if self.folder.is_dir() else 0


def append(path: Path, rows: Sequence[tuple[str, Row]], why: str) -> None:
    """Keep rows that the database refuses, with its reason, for somebody to look at."""
    for table, row in rows:
        append_jsonl(path, {"table": table, "why": why, "row": plain(row)})


def _claim(path: Path) -> FileLock | None:
    lock = FileLock(path.with_suffix(".lock"))
    try:
        lock.acquire(timeout=0)
    except (Timeout, OSError):
        return None
    return lock


def _read(path: Path) -> Batch:
    """All whole lines; one that a crash cut short is left out."""
    batch: Batch = []
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return batch
    for line in lines:
        try:
            one = orjson.loads(line)
        except ValueError:
            continue
        row: dict[str, Any] = one["row"]
        for name in TIMES:
            if isinstance(row.get(name), str):
                row[name] = datetime.fromisoformat(row[name])
        batch.append((one["table"], row))
    return batch
