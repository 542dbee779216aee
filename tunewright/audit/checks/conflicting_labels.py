"""The same text with two answers: whatever a model says, one of the rows calls it wrong."""

from __future__ import annotations

from typing import ClassVar, Literal

import polars as pl

from tunewright.audit.checks._shared import excerpt, joined
from tunewright.core.parts import Check, Look
from tunewright.text.labels import spellings


class ConflictingLabels(Check):
    """The same text as another row, but a different label. Spellings of one label do not conflict."""

    needs: ClassVar[tuple[str, ...]] = ("label",)
    scope: ClassVar[Literal["row", "all"]] = "all"

    def measure(self, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        same = rows.select("row_id", "text", label=pl.col("label").replace(spellings(rows["label"])), text_of=pl.Series(joined(rows).first))
        torn = same.filter(pl.col("label").n_unique().over("text_of") > 1)
        other = torn.join(torn, on="text_of", suffix="_other").filter(pl.col("label") != pl.col("label_other"))
        return other.unique("row_id", keep="first", maintain_order=True).select(
            "row_id",
            evidence=pl.format("labelled {}, elsewhere {}: {}", "label", "label_other", excerpt()),
            related_row_id="row_id_other",
            field=pl.lit("label"),
            suggested_fix=pl.lit("drop_conflicting_labels"),
        )
