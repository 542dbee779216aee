"""Keep one of the rows that say nearly the same and have the same label, if they have labels."""

from __future__ import annotations

import polars as pl
from pydantic import Field

from tunewright.core.parts import Look, Step, StepResult
from tunewright.prepare.steps._shared import drop, judged_on
from tunewright.text.neardup import keep_by_label


class DropNearDuplicates(Step):
    """Drops a row that is nearly the same as a row that stays, never for a chain of others. Reason: near_duplicate.

    The rows must have the same label: a small change of words that changes the label is worth learning from. Rows with a
    free-text answer are judged by text and answer together.
    """

    threshold: float = Field(0.5, gt=0, le=1, description="share of common word triples (Jaccard) with the row that stays")

    def run(self, rows: pl.DataFrame, look: Look) -> StepResult:
        near = keep_by_label(*judged_on(rows), self.threshold)
        near = near.select("row", "jaccard", __kept=rows["row_id"].gather(near["kept"]))
        marked = rows.with_row_index("__row").join(near, left_on="__row", right_on="row", how="left", maintain_order="left")
        said = pl.format("kept {} at Jaccard {}", "__kept", pl.col("jaccard").round(3))
        done = drop(marked, pl.col("__kept").is_not_null(), "near_duplicate", said)
        return StepResult(done.rows.select(rows.columns), done.changes)
