"""Drop rows in which there is nothing to read."""

from __future__ import annotations

import polars as pl

from tunewright.core.parts import Look, Step, StepResult
from tunewright.prepare.steps._shared import drop
from tunewright.text.repair import empty


class DropEmpty(Step):
    """Drops rows without visible text. Reason: empty_text."""

    def run(self, rows: pl.DataFrame, look: Look) -> StepResult:
        return drop(rows, empty(pl.col("text")), "empty_text")
