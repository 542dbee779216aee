"""Write each label in one way: ' Positive', 'positive' and 'POSITIVE' become the commonest of them."""

from __future__ import annotations

import polars as pl

from tunewright.core.parts import Look, Step, StepResult
from tunewright.prepare.steps._shared import change, unchanged
from tunewright.text.labels import spellings


class NormaliseLabels(Step):
    """Joins labels that differ only in capital letters, white space or Unicode form. Reason: label_spelling."""

    def run(self, rows: pl.DataFrame, look: Look) -> StepResult:
        if "label" not in rows.columns:
            return unchanged(rows)
        meant = rows["label"].replace(spellings(rows["label"]))
        other = rows.with_columns(__meant=meant).filter(pl.col("label") != pl.col("__meant"))
        said = pl.format("{} -> {}", "label", "__meant")
        return StepResult(rows.with_columns(label=meant), change(other, "relabelled", "label_spelling", said))
