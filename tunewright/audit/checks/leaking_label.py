"""A text that gives its own answer away ('... Category: spam'): scores look wonderful until real rows come without it."""

from __future__ import annotations

from typing import ClassVar, Literal

import polars as pl
from pydantic import Field

from tunewright.audit.checks._shared import first_rows, sampled
from tunewright.core.parts import Check, Look


class LeakingLabel(Check):
    """A word, or the label itself, that alone gives the label away in a large part of a class."""

    needs: ClassVar[tuple[str, ...]] = ("label",)
    scope: ClassVar[Literal["row", "all"]] = "all"
    measured_by: ClassVar[tuple[str, ...]] = ("sample",)
    coverage: float = Field(0.5, ge=0.1, le=1, description="a word in at least this share of a class is suspicious ...")
    precision: float = Field(0.98, gt=0, le=1, description="... when this share of the rows with it are of that class")
    min_rows: int = Field(20, ge=1, description="rows that a word must stand in")
    sample: int = Field(50_000, ge=1, description="rows looked at, at most")

    def measure(self, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        seen = sampled(rows, self.sample).select("label", text=pl.col("text").fill_null("").str.to_lowercase())
        sizes = seen["label"].value_counts(name="size")
        words = seen.select("label", word=pl.col("text").str.extract_all(r"[\w'’-]+").list.unique()).explode("word")
        several = [label.lower() for label in sizes["label"].sort().to_list()[:100] if " " in label.strip()]
        holding = {label: seen.filter(pl.col("text").str.contains(label, literal=True)) for label in several}
        phrases = [part.select("label", word=pl.lit(label)) for label, part in holding.items()]
        counts = pl.concat([words.drop_nulls(), *phrases]).group_by("word", "label").len("rows")
        counts = counts.with_columns(everywhere=pl.col("rows").sum().over("word"), looked=pl.lit(len(seen)))
        return counts.join(sizes, on="label").filter(pl.col("rows") * 10 >= pl.col("size")).sort("word", "label")

    def measure_scan(self, rows: pl.LazyFrame, look: Look) -> pl.DataFrame:
        return self.measure(first_rows(rows, self.sample), look)

    def decide(self, measures: pl.DataFrame, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        share, purity = pl.col("rows") / pl.col("size"), pl.col("rows") / pl.col("everywhere")
        by_chance = pl.col("size") / pl.col("looked")
        telling = (share >= self.coverage) & (purity >= self.precision) & (purity > (1 + by_chance) / 2)
        found = measures.filter((pl.col("rows") >= self.min_rows) & telling)
        said = "{} stands in {}% of the rows labelled {}, and {}% of the rows with it have that label"
        return found.sort(share * purity, "word", descending=[True, False]).select(
            evidence=pl.format(said, "word", (100 * share).round().cast(int), "label", (100 * purity).round(1)),
            score=share * purity,
            suggested_fix=pl.lit("remove it from the text"),
        )
