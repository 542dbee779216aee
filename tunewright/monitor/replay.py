"""What would have alarmed? Any file of texts, measured in windows as if it were traffic, without a store and without telling anybody."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from tunewright.core.errors import DataError
from tunewright.core.score import Floats
from tunewright.monitor.measure import Found, Measurer
from tunewright.monitor.result import table
from tunewright.monitor.rows import COLUMNS


@dataclass(frozen=True)
class Replay:
    """What every window said, and the signals that would have raised an alert (`alerts.raise_after` windows in a row)."""

    rows: int
    left: int  # rows that filled no window
    windows: list[Found]
    raised: dict[str, int]  # signal: the window (from 1) at which somebody would have been told

    def document(self) -> dict[str, Any]:
        return {"rows": self.rows, "left": self.left, "raised": self.raised, "windows": [one.document() for one in self.windows]}

    def lines(self) -> list[str]:
        lines = [f"{self.rows:,} texts in {len(self.windows)} windows" + (f"; {self.left} more fill no window" if self.left else "")]
        for number, one in enumerate(self.windows, start=1):
            beyond = [name for name, said in one.decided.items() if said.alarm]
            lines.append(f"  window {number}: {', '.join(beyond) or 'nothing'} beyond its threshold")
        lines += ["", "newest window:", *table(self.windows[-1].document())]
        told = ", ".join(f"{name} (window {number})" for name, number in self.raised.items())
        return [*lines, "", f"Would have raised an alert: {told}" if told else "Would have raised no alert."]


def replay(measurer: Measurer, texts: pl.Series, answers: list[dict[str, Any]] | None = None) -> Replay:
    """Measure `texts` in windows; `answers` are what /v1/classify said of each of them. Raises `DataError` when they fill none."""
    settings = measurer.reference.settings
    rows = pl.DataFrame({"id": [f"row-{index}" for index in range(1, len(texts) + 1)], "text": texts.cast(pl.String)})
    if answers is not None:
        label, sure = [one["answer"] for one in answers], [float(one["confidence"]) for one in answers]
        rows = rows.with_columns(label=pl.Series(label), answer=pl.Series(label), confidence=pl.Series(sure), status=pl.lit(200))
    rows = rows.with_columns(pl.lit(None, kind).alias(name) for name, kind in COLUMNS.items() if name not in rows.columns)
    rows = rows.select(pl.col(name).cast(kind) for name, kind in COLUMNS.items())
    count = len(rows) // settings.window
    if count == 0:
        raise DataError(
            f"--replay: {len(rows)} texts fill no window of {settings.window}. Give more texts, or --set monitor.window={max(20, len(rows))}."
        )
    windows: list[Found] = []
    before: Floats = np.zeros(0)
    streaks: dict[str, int] = {}
    raised: dict[str, int] = {}
    for number in range(count):
        part = rows[number * settings.window : (number + 1) * settings.window]
        found = measurer.window(part, confidences=before)
        before = np.concatenate([before, part["confidence"].drop_nulls().to_numpy()])[-10 * settings.window :]
        windows.append(found)
        for name, said in found.decided.items():
            streaks[name] = streaks.get(name, 0) + 1 if said.alarm else 0
            if streaks[name] >= settings.alerts.raise_after:
                raised.setdefault(name, number + 1)
    return Replay(len(rows), len(rows) - count * settings.window, windows, raised)
