"""How many rows each group has: what a model has hardly seen it does badly, and nobody can measure how badly."""

from __future__ import annotations

from typing import ClassVar, Literal

import polars as pl
from pydantic import Field

from tunewright.audit.checks._groups import JUDGED, WHAT_TO_DO, declared, grouping, named
from tunewright.core.parts import Check, Look


class GroupRepresentation(Check):
    """Groups of `data.slices` with few rows. Nothing is looked at where no slices are declared."""

    severity: ClassVar[str] = "info"
    scope: ClassVar[Literal["row", "all"]] = "all"
    min_rows: int = Field(100, ge=1, description="a group with fewer rows is named")

    def measure(self, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        from tunewright.core.statistics import clopper_pearson

        groups = [(one.column, one.value, one.rows, *clopper_pearson(one.rows, len(rows))) for one in declared(rows, look)]
        schema = {"column": pl.String, "group": pl.String, "rows": pl.Int64, "low": pl.Float64, "high": pl.Float64}
        table = pl.DataFrame(groups, schema=schema, orient="row")
        return table.with_columns(share=pl.col("rows") / len(rows), of=pl.lit(len(rows)))

    def measure_scan(self, rows: pl.LazyFrame, look: Look) -> pl.DataFrame:
        return self.measure(grouping(rows, look), look)

    def decide(self, measures: pl.DataFrame, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        few = measures.filter(pl.col("rows") < self.min_rows)
        unjudged = pl.when(pl.col("rows") < JUDGED).then(pl.lit(": too few to judge, so it is only shown")).otherwise(pl.lit(""))
        return few.select(
            evidence=pl.format("{} has {} of {} rows ({}%){}", named(), "rows", "of", (100 * pl.col("share")).round(2), unjudged),
            field="column",
            score=1 - pl.col("rows") / self.min_rows,
            suggested_fix=pl.lit(WHAT_TO_DO),
        )
