"""Set aside texts that have several labels: which of them is right is for a person to say."""

from __future__ import annotations

import polars as pl

from tunewright.core.parts import Look, Step, StepResult
from tunewright.prepare.steps._shared import drop, unchanged
from tunewright.text.neardup import TextJoin


class DropConflictingLabels(Step):
    """Drops every row of a text that occurs with several labels; review them in dropped.parquet. Reason: conflicting_labels."""

    def run(self, rows: pl.DataFrame, look: Look) -> StepResult:
        if "label" not in rows.columns:
            return unchanged(rows)
        marked = rows.with_columns(__first=pl.Series(TextJoin(rows["text"]).first))
        labels = marked.group_by("__first").agg(__labels=pl.col("label").unique().sort())
        marked = marked.join(labels, on="__first", how="left", maintain_order="left")
        said = pl.format("this text is labelled {}", pl.col("__labels").list.join(", "))
        done = drop(marked, pl.col("__labels").list.len() > 1, "conflicting_labels", said)
        return StepResult(done.rows.select(rows.columns), done.changes)
