"""What a user sees while something runs: lines, and bars with the time left. Everything goes to stderr; stdout is for results."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from tunewright.core import interrupt


class Task(Protocol):
    """One piece of work with a known or unknown number of steps. Each step is a place where an interrupt is heard at the latest."""

    def advance(self, n: float = 1, info: str = "", total: float | None = None) -> None:
        """n more steps are done; `info` replaces the text at the end of the bar, `total` the number of steps."""


class Report:
    """Prints to stderr: bars on a terminal, a plain line every 20 seconds elsewhere, nothing when `quiet`."""

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet
        self.console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._bars: Progress | None = None
        self._open = 0
        self._lock = threading.Lock()

    def say(self, text: str = "") -> None:
        if not self.quiet:
            self.console.print(text, markup=False)

    @contextmanager
    def task(self, description: str, total: float | None = None) -> Iterator[Task]:
        """Show progress of the block that follows."""
        if self.quiet:
            yield _Silent()
        elif self.console.is_terminal:
            yield from self._bar(description, total)
        else:
            yield _Lines(self, description, total)

    def _bar(self, description: str, total: float | None) -> Iterator[Task]:
        with self._lock:
            if self._bars is None:
                self._bars = _columns(self.console)
                self._bars.start()
            bars, self._open = self._bars, self._open + 1
        key = bars.add_task(description, total=total, info="")
        try:
            yield _Bar(bars, key)
        finally:
            bars.remove_task(key)
            with self._lock:
                self._open -= 1
                if self._open == 0:
                    bars.stop()
                    self._bars = None


def _columns(console: Console) -> Progress:
    return Progress(
        TextColumn("  {task.description:<28}"),
        BarColumn(bar_width=28),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[info]}"),
        console=console,
        transient=True,
    )


class _Silent:
    def advance(self, n: float = 1, info: str = "", total: float | None = None) -> None:
        interrupt.check()


class _Bar:
    def __init__(self, bars: Progress, key: TaskID) -> None:
        self.bars, self.key = bars, key

    def advance(self, n: float = 1, info: str = "", total: float | None = None) -> None:
        interrupt.check()
        self.bars.update(self.key, advance=n, info=info, total=total)


class _Lines:
    """A line every 20 seconds for logs, with the share done and the time left."""

    every = 20.0

    def __init__(self, report: Report, description: str, total: float | None) -> None:
        self.report, self.description, self.total = report, description, total
        self.done, self.start = 0.0, time.monotonic()
        self.last = self.start

    def advance(self, n: float = 1, info: str = "", total: float | None = None) -> None:
        interrupt.check()
        self.done += n
        self.total = self.total if total is None else total
        now = time.monotonic()
        if now - self.last < self.every:
            return
        self.last = now
        share, left = "", ""
        if self.total and self.done:
            share = f" {min(1.0, self.done / self.total):.0%}"
            left = f", {max(0.0, (now - self.start) * (self.total / self.done - 1)):.0f} s left"
        self.report.say(f"  {self.description}{share}{left}{'  ' + info if info else ''}")
        sys.stderr.flush()
