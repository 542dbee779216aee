"""A data set whose longest texts all have the same length was cut: somebody's export kept the first 160 words."""

from __future__ import annotations

from typing import ClassVar, Literal

import polars as pl
from pydantic import Field

from tunewright.core.parts import Check, Look


class CutAtLimit(Check):
    """Many texts, or answers, of exactly the greatest length: they were cut before they came here."""

    scope: ClassVar[Literal["row", "all"]] = "all"
    share: float = Field(0.01, gt=0, le=1, description="share of the rows that must have the greatest length")
    min_rows: int = Field(20, ge=2, description="rows that must have it")

    def measure(self, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        return _longest(rows.select(_lengths(rows.columns)))

    def measure_scan(self, rows: pl.LazyFrame, look: Look) -> pl.DataFrame:
        return _longest(rows.select(_lengths(rows.collect_schema().names())).collect(engine="streaming"))

    def decide(self, measures: pl.DataFrame, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        many = (pl.col("rows") >= self.min_rows) & (pl.col("rows") >= self.share * pl.col("looked"))
        varied = pl.col("low") * 2 <= pl.col("most")  # rows made by one template have one length, and nobody cut them
        cut = measures.filter(many & (pl.col("most") >= 20) & varied)
        percent = (100 * pl.col("rows") / pl.col("looked")).round(1)
        return cut.select(
            "field",
            evidence=pl.format("{} rows ({}%) have exactly {} {}, and none has more", "rows", percent, "most", "unit"),
            suggested_fix=pl.lit("get the whole texts, or end them at a sentence"),
        )


def _lengths(columns: list[str]) -> list[pl.Expr]:
    texts = [one for one in ("text", "answer") if one in columns]
    words = [pl.col(one).str.count_matches(r"\S+").alias(f"{one} words") for one in texts]
    return words + [pl.col(one).str.len_chars().alias(f"{one} characters") for one in texts]


def _longest(lengths: pl.DataFrame) -> pl.DataFrame:
    """The greatest length of each field in each unit, how many rows have it, and the length of the shortest tenth."""
    found = []
    for known in (one.drop_nulls() for one in lengths):
        most, low = known.max(), known.quantile(0.1)
        if most is not None and low is not None:
            found.append((*known.name.split(" "), most, int((known == most).sum()), low, len(known)))
    names = {"field": pl.String, "unit": pl.String, "most": pl.Int64, "rows": pl.Int64, "low": pl.Float64, "looked": pl.Int64}
    return pl.DataFrame(found, schema=names, orient="row").sort(pl.col("field") == "answer", maintain_order=True)
