"""The review log: who decided what about which row, and when. `review/log.jsonl`, one decision a line, only ever appended:

    {"id": "5f0c...", "row_id": "r3f09...", "action": "relabel", "by": "anna", "at": "2026-11-22T10:03:11.120+00:00", "field": "label",
     "value": "negative", "previous": "positive", "seconds": 6.2, "check": "label_noise", "stratum": "gain", ...}

A decision is taken back by a line of its own (`action: undo`, `undoes: 5f0c...`). Writers take a file lock, and a line is on the
disk before `append` returns, so any number of people can review at once and a crash costs nothing that was decided.
"""

from __future__ import annotations

import dataclasses
import json
import os
import uuid
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from filelock import FileLock

from tunewright.core.errors import RunError
from tunewright.core.files import disk_errors

Action = Literal["accept", "relabel", "edit", "drop", "skip", "judge", "undo"]
ACTIONS: tuple[str, ...] = get_args(Action)
ABOUT_THE_ROW = ("accept", "relabel", "edit", "drop")


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@dataclass(frozen=True)
class Decision:
    """One line of the log. `judge` says only whether `check` is right about the row (`holds`); `final` marks an adjudication."""

    row_id: str
    action: Action
    by: str
    at: str = dataclasses.field(default_factory=now)
    field: str | None = None
    value: str | None = None
    previous: str | None = None
    seconds: float | None = None
    check: str | None = None
    holds: bool | None = None
    stratum: str | None = None
    final: bool = False
    note: str | None = None
    origin: str | None = None
    undoes: str | None = None
    id: str = dataclasses.field(default_factory=lambda: uuid.uuid4().hex[:16])


_KEYS = {one.name for one in dataclasses.fields(Decision)}


class Log:
    """The decisions of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, decisions: Iterable[Decision]) -> None:
        """Write `decisions` behind what is there; they are on the disk when this returns."""
        lines = b"".join(json.dumps(_lean(one), ensure_ascii=False).encode() + b"\n" for one in decisions)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.lock(), disk_errors(self.path), open(self.path, "ab", buffering=0) as stream:
            stream.write(lines if self._ends_whole() else b"\n" + lines)
            os.fsync(stream.fileno())

    def lock(self) -> FileLock:
        """The lock that every writer below `review/` takes."""
        return FileLock(self.path.with_name(".lock"), timeout=30)

    def _ends_whole(self) -> bool:
        if not self.path.exists() or self.path.stat().st_size == 0:
            return True
        with open(self.path, "rb") as stream:
            stream.seek(-1, os.SEEK_END)
            return stream.read(1) == b"\n"

    def lines(self) -> list[Decision]:
        """Every whole line, undone ones and undos included. A line that a crash cut short is left out; other damage raises RunError."""
        if not self.path.exists():
            return []
        found: list[Decision] = []
        for number, line in enumerate(self.path.read_text(encoding="utf-8", errors="replace").split("\n"), start=1):
            if line.strip():
                try:
                    found.append(_decision(json.loads(line)))
                except (ValueError, TypeError, KeyError) as error:
                    if line.rstrip().endswith("}"):  # else it was cut short by a crash, before anybody was told that it is kept
                        raise RunError(f"{self.path}, line {number}: not a decision ({error}). Restore that line from a copy.") from error
        return found

    def decisions(self) -> list[Decision]:
        """What counts: the lines in order, without those that were taken back."""
        lines = self.lines()
        undone = {one.undoes for one in lines if one.action == "undo"}
        return [one for one in lines if one.action != "undo" and one.id not in undone]

    def undo(self, by: str) -> Decision | None:
        """Take back the last decision of `by` that still counts, and return it; None when there is none."""
        last = next((one for one in reversed(self.decisions()) if one.by == by), None)
        if last is not None:
            self.append([Decision(row_id=last.row_id, action="undo", by=by, undoes=last.id)])
        return last


def _lean(one: Decision) -> dict[str, Any]:
    """Without what is not set, so that a person can read the log."""
    left_out: dict[str, Any] = {"final": False}
    return {key: value for key, value in asdict(one).items() if value is not left_out.get(key)}


def _decision(values: dict[str, Any]) -> Decision:
    if values["action"] not in ACTIONS:
        raise ValueError(f"unknown action {values['action']!r}")
    return Decision(**{key: value for key, value in values.items() if key in _KEYS})
