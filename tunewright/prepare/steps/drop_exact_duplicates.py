"""Keep the first of the rows that say the same, word for word, with the same label or answer."""

from __future__ import annotations

import polars as pl

from tunewright.core.parts import Look, Step, StepResult
from tunewright.prepare.steps._shared import drop, judged_on
from tunewright.text.neardup import TextJoin


class DropExactDuplicates(Step):
    """Drops rows that repeat the words and the label (or answer) of an earlier row. Reason: exact_duplicate."""

    def run(self, rows: pl.DataFrame, look: Look) -> StepResult:
        said, other = judged_on(rows)
        marked = rows.with_columns(__first=pl.Series(TextJoin(said).first), __other=other)
        marked = marked.with_columns(__kept=pl.col("row_id").first().over("__first", "__other"))
        done = drop(marked, pl.col("row_id") != pl.col("__kept"), "exact_duplicate", pl.format("repeats {}", "__kept"))
        return StepResult(done.rows.select(rows.columns), done.changes)
