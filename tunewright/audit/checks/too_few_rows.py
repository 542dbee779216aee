"""A class needs rows in train, validation and test, and enough of them for a score to mean something."""

from __future__ import annotations

from typing import ClassVar, Literal

import polars as pl
from pydantic import Field

from tunewright.core.parts import Check, Look


class TooFewRows(Check):
    """Too few rows of a class to learn from and to test on; fewer than three cannot be split at all."""

    needs: ClassVar[tuple[str, ...]] = ("label",)
    scope: ClassVar[Literal["row", "all"]] = "all"
    min_rows: int = Field(30, ge=3, description="a class with fewer rows is a warning")

    def measure(self, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        return rows["label"].value_counts().sort("count", "label")

    def measure_scan(self, rows: pl.LazyFrame, look: Look) -> pl.DataFrame:
        return self.measure(rows.select("label").collect(), look)

    def decide(self, measures: pl.DataFrame, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        counts = measures.rows()
        fatal = ", but train, validation and test need one each"
        few = [(label, count) for label, count in counts if count < self.min_rows]
        found = [(f"{label!r} has {count} rows{fatal if count < 3 else ''}", count < 3) for label, count in few]
        if len(counts) == 1:
            found.append((f"every row is labelled {counts[0][0]!r}: there is nothing to tell apart", True))
        frame = pl.DataFrame(found, schema={"evidence": pl.String, "fatal": pl.Boolean}, orient="row")
        return frame.select(
            "evidence",
            severity=pl.when("fatal").then(pl.lit("error")).otherwise(pl.lit(self.severity)),
            field=pl.lit("label"),
            suggested_fix=pl.lit("add rows, or leave the class out"),
        )
