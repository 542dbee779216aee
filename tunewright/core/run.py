"""The run directory: where every stage writes, how a stage is marked done, and what happened when (`events.jsonl`)."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from filelock import FileLock, Timeout

from tunewright.core.errors import RunError
from tunewright.core.executor import Executor
from tunewright.core.files import append_jsonl, read_json
from tunewright.core.ledger import Ledger
from tunewright.core.progress import Report
from tunewright.core.recipe import Recipe


class Run:
    """`runs/NAME`, laid out as `docs/reference/run-directory.md` describes."""

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory)

    def path(self, *parts: str) -> Path:
        return self.directory.joinpath(*parts)

    def event(self, kind: str, **fields: Any) -> None:
        """Append one line to `events.jsonl`."""
        append_jsonl(self.path("events.jsonl"), {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": kind, **fields})

    def done(self, stage: str) -> dict[str, Any] | None:
        """The completion marker of `stage`, or None when it has not finished."""
        marker = self.path(stage, "done.json")
        return dict(read_json(marker)) if marker.exists() else None

    @contextmanager
    def work(self, name: str) -> Iterator[None]:
        """Log how long the block took as `work_done` or `work_failed`, for work that is no stage (the report adds up who spent what)."""
        clock, cpu = time.monotonic(), cpu_seconds()

        def took() -> dict[str, Any]:
            return {"work": name, "seconds": round(time.monotonic() - clock, 2), "cpu_seconds": round(cpu_seconds() - cpu, 2)}

        self.event("work_started", work=name)
        try:
            yield
        except BaseException as error:
            self.event("work_failed", **took(), error=f"{type(error).__name__}: {error}")
            raise
        self.event("work_done", **took())

    @property
    def verdict(self) -> dict[str, Any]:
        return dict(read_json(self.path("evaluate", "verdict.json")))

    @property
    def findings(self) -> Any:
        """The audit's findings as a Polars frame."""
        from tunewright.core.files import read_parquet

        return read_parquet(self.path("audit", "findings.parquet"))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes out of this run directory while the block runs."""
        self.directory.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self.path(".lock"), timeout=0):
                yield
        except Timeout as error:
            raise RunError(
                f"{self.directory} is in use by another tunewright process. Wait for it, or give another --run directory."
            ) from error

    def _repr_html_(self) -> str:
        marker = self.path("evaluate", "verdict.json")
        word = read_json(marker)["verdict"] if marker.exists() else "unfinished"
        return f"<b>{word}</b> <code>{self.directory}</code>"


def cpu_seconds() -> float:
    """Seconds of processor time of this process and of its children that have ended."""
    return sum(os.times()[:4])


@dataclass(frozen=True)
class Context:
    """What a stage gets to work with."""

    recipe: Recipe
    run: Run
    ledger: Ledger
    executor: Executor
    report: Report


@dataclass
class PeakMemory:
    """Highest resident memory of this process and its children while the block runs, in bytes (pages they share count twice)."""

    bytes: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)

    def _watch(self) -> None:
        me = psutil.Process(os.getpid())
        while True:
            total = 0
            for process in (me, *me.children(recursive=True)):
                try:
                    total += process.memory_info().rss
                except psutil.Error:
                    continue
            self.bytes = max(self.bytes, total)
            if self._stop.wait(0.25):
                return

    def __enter__(self) -> PeakMemory:
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
