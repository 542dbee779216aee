"""Drop rows in which there is nothing to read, or nothing to learn."""

from __future__ import annotations

import polars as pl

from tunewright.core.parts import Look, Step, StepResult
from tunewright.prepare.steps._shared import drop
from tunewright.text.repair import empty


class DropEmpty(Step):
    """Drops rows without visible text or answer. Reasons: empty_text, empty_answer, empty_rejected."""

    def run(self, rows: pl.DataFrame, look: Look) -> StepResult:
        told = []
        for name in (one for one in ("text", "answer", "rejected") if one in rows.columns):
            done = drop(rows, empty(pl.col(name)), f"empty_{name}")
            rows = done.rows
            told.append(done.changes)
        return StepResult(rows, pl.concat(told))
