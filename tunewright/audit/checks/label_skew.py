"""Groups whose labels are mixed otherwise than everybody else's: a model learns the group instead of the matter."""

from __future__ import annotations

from typing import ClassVar, Literal

import polars as pl
from pydantic import Field

from tunewright.audit.checks._groups import WHAT_TO_DO, belonging, compared, declared, grouping, named, numbered, percent
from tunewright.core.parts import Check, Look

MOST_LABELS = 20


class LabelSkew(Check):
    """Groups of `data.slices` with another mix of labels than the other rows. Intervals are 95%, p is corrected for all groups."""

    severity: ClassVar[str] = "info"
    needs: ClassVar[tuple[str, ...]] = ("label",)
    scope: ClassVar[Literal["row", "all"]] = "all"
    difference: float = Field(0.1, ge=0, le=1, description="a label's share must be this far from its share in the other rows ...")
    p: float = Field(0.05, gt=0, lt=1, description="... and the mixes must differ with this corrected p")

    def measure(self, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        groups = list(declared(rows, look))
        if not groups:
            return pl.DataFrame()
        return compared(groups, *numbered(rows["label"], MOST_LABELS), belonging(rows, look))

    def measure_scan(self, rows: pl.LazyFrame, look: Look) -> pl.DataFrame:
        return self.measure(grouping(rows, look, "label"), look) if look.recipe.data.slices else pl.DataFrame()

    def decide(self, measures: pl.DataFrame, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        if measures.is_empty():
            return pl.DataFrame()
        apart = (pl.col("share") - pl.col("rest")).abs()
        worst = measures.filter((pl.col("p") <= self.p) & (apart >= self.difference)).with_columns(apart=apart)
        worst = worst.sort("apart", descending=True, maintain_order=True).unique(["column", "group"], keep="first", maintain_order=True)
        said = "{}: {}% are labelled {} ({} to {}%), {}% of the other rows are"
        limits = [percent(name) for name in ("low", "high", "rest")]
        return worst.select(
            evidence=pl.format(said, named(), percent("share"), "kind", *limits),
            field="column",
            score="apart",
            suggested_fix=pl.lit(WHAT_TO_DO),
        )
