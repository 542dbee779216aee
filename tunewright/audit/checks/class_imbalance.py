"""Classes of very different size: accuracy then flatters a model that always gives the common answer."""

from __future__ import annotations

from typing import ClassVar, Literal

import polars as pl
from pydantic import Field

from tunewright.core.parts import Check, Look


class ClassImbalance(Check):
    """Classes of very different size. Judge by macro-F1 then, not by accuracy."""

    needs: ClassVar[tuple[str, ...]] = ("label",)
    scope: ClassVar[Literal["row", "all"]] = "all"
    show: float = Field(2.0, ge=1, description="largest over smallest class from which the imbalance is mentioned")
    warn: float = Field(10.0, ge=1, description="largest over smallest class from which it is a warning")

    def measure(self, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        return rows["label"].value_counts().sort("count", "label", descending=[True, False])

    def measure_scan(self, rows: pl.LazyFrame, look: Look) -> pl.DataFrame:
        return self.measure(rows.select("label").collect(), look)

    def decide(self, measures: pl.DataFrame, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        counts = measures.rows()
        if len(counts) < 2 or counts[0][1] < self.show * counts[-1][1]:
            return pl.DataFrame()
        (most, many), (least, few), total = counts[0], counts[-1], sum(number for _, number in counts)
        said = (
            f"{most!r} has {many:,} rows, {many / few:.1f} times as many as {least!r} ({few:,}); "
            f"always answering {most!r} is right in {many / total:.0%}"
        )
        severity = self.severity if many >= self.warn * few else "info"
        return pl.DataFrame({"field": "label", "evidence": said, "severity": severity, "suggested_fix": "judge by macro_f1"})
