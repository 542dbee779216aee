"""Groups that even a simple model gets wrong more often: their labels are noisier, their texts rarer, or their language another."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import polars as pl
from pydantic import Field

from tunewright.audit.checks._groups import compared, declared, named, percent
from tunewright.audit.checks._sample import QUICK_SAMPLE, quick_of, quick_rows
from tunewright.core.parts import Check, Look


class GroupErrors(Check):
    """Groups of `data.slices` that the quick classifier gets wrong more often than the other rows. Judged out of sample, with 95%
    intervals that know which rows belong together; p is corrected for all groups."""

    severity: ClassVar[str] = "info"
    needs: ClassVar[tuple[str, ...]] = ("label",)
    scope: ClassVar[Literal["row", "all"]] = "all"
    measured_by: ClassVar[tuple[str, ...]] = ("sample",)
    difference: float = Field(0.05, ge=0, le=1, description="the error rate must be this far above that of the other rows ...")
    p: float = Field(0.05, gt=0, lt=1, description="... with this corrected p")
    sample: int = Field(QUICK_SAMPLE, ge=1, description="rows looked at, at most")

    def measure(self, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        if not look.recipe.data.slices or (quick := quick_of(rows, look, self.sample)) is None:
            return pl.DataFrame()
        table = compared(list(declared(quick.rows, look)), np.where(quick.wrong, 0, 1), ["wrong", "right"], quick.groups)
        return table.filter(pl.col("kind") == "wrong").drop("kind")

    def measure_scan(self, rows: pl.LazyFrame, look: Look) -> pl.DataFrame:
        return self.measure(quick_rows(rows, self.sample), look)

    def decide(self, measures: pl.DataFrame, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        if measures.is_empty():
            return pl.DataFrame()
        worse = measures.filter((pl.col("p") <= self.p) & (pl.col("share") - pl.col("rest") >= self.difference))
        said = "{}: the quick classifier gets {}% of {} rows wrong ({} to {}%), {}% of the other rows"
        limits = [percent(name) for name in ("low", "high", "rest")]
        return worse.sort("share", descending=True, maintain_order=True).select(
            evidence=pl.format(said, named(), percent("share"), "rows", *limits),
            field="column",
            score="share",
            suggested_fix=pl.lit("review its labels, collect more of it, evaluate by slice"),
        )
