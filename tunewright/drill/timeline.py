"""The drill's time line: a clock, what happened, the evidence; printed as it happens and kept in `timeline.jsonl`.

03:12  drift      the monitor raises 5 alerts
                 after 360 drifted requests, 2 windows, 46 s: classifier: AUC 0.99; vocabulary: ...
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tunewright.core.errors import TunewrightError
from tunewright.core.files import append_jsonl
from tunewright.core.progress import Report


class Heard(Report):
    """Silent, but hands each line that a long piece of work says to `hear`."""

    def __init__(self, hear: Callable[[str], None]) -> None:
        super().__init__(quiet=True)
        self._hear = hear

    def say(self, text: str = "") -> None:
        self._hear(text)


class DrillFailed(TunewrightError):
    """A step of the loop did not happen."""

    exit_code = 1


@dataclass
class Timeline:
    """Lines so far; `start` is the zero of the clock."""

    path: Path
    report: Report
    start: float = field(default_factory=time.monotonic)
    lines: list[dict[str, Any]] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.start

    def tell(self, step: str, what: str, evidence: str, **measured: Any) -> None:
        """One line. `measured` goes into the file only."""
        line = {"seconds": round(self.seconds, 1), "step": step, "what": what, "evidence": evidence, **measured}
        self.lines.append(line)
        append_jsonl(self.path, line)
        minutes, seconds = divmod(int(self.seconds), 60)
        self.report.say(f"{minutes:02d}:{seconds:02d}  {step:<9} {what}")
        if evidence:
            self.report.say(f"                 {evidence}")

    def require(self, holds: bool, step: str, what: str, evidence: str) -> None:
        """Raises `DrillFailed` unless `holds`."""
        if not holds:
            self.tell(step, f"FAILED: {what}", evidence)
            raise DrillFailed(f"drill: {step}: {what} did not happen: {evidence}")
