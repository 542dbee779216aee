"""Rows in another language than the rest: often spam, a wrong column, or a market that the model will not serve."""

from __future__ import annotations

from typing import ClassVar, Literal

import polars as pl
from pydantic import Field

from tunewright.audit.checks._shared import excerpt, first_rows, sampled
from tunewright.core.parts import Check, Look
from tunewright.text.language import identify
from tunewright.text.repair import TAG

WORDS = pl.col("text").fill_null("").str.replace_all(TAG, " ").str.replace_all(r"\S*(?:://|@)\S*", " ")


class Language(Check):
    """Another language than most rows. Looks at a sample, and only at texts long enough to tell."""

    severity: ClassVar[str] = "info"
    scope: ClassVar[Literal["row", "all"]] = "all"
    measured_by: ClassVar[tuple[str, ...]] = ("sample", "min_characters")
    sample: int = Field(20_000, ge=1, description="rows looked at, at most")
    min_characters: int = Field(40, ge=1, description="shorter texts are not judged")
    probability: float = Field(0.8, gt=0, le=1, description="how sure the identification must be")
    main: float = Field(0.8, gt=0, le=1, description="share of the commonest language below which rows count as mixed")

    def measure(self, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        return self._told(sampled(rows, self.sample, self._long()))

    def measure_scan(self, rows: pl.LazyFrame, look: Look) -> pl.DataFrame:
        return self._told(first_rows(rows, self.sample, self._long()))

    def _long(self) -> pl.Expr:
        return (pl.col("text").str.len_bytes() >= self.min_characters) & (WORDS.str.len_chars() >= self.min_characters)

    def _told(self, looked: pl.DataFrame) -> pl.DataFrame:
        looked = looked.select("row_id", "text", words=WORDS)
        return looked.select("row_id", evidence=excerpt()).hstack(identify(looked["words"]))

    def decide(self, measures: pl.DataFrame, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        counts = measures["code"].value_counts().sort("count", "code", descending=[True, False]).rows()
        if not counts:
            return pl.DataFrame()
        if counts[0][1] < self.main * len(measures):
            several = ", ".join(f"{code} {number / len(measures):.0%}" for code, number in counts[:5])
            return pl.DataFrame({"evidence": f"several languages: {several} of {len(measures):,} rows looked at"})
        odd = measures.filter((pl.col("code") != counts[0][0]) & (pl.col("probability") >= self.probability))
        return odd.select(
            "row_id",
            score="probability",
            evidence=pl.format("{}: {}", pl.col("code").replace("zxx", "no language"), "evidence"),
            suggested_fix=pl.lit("review"),
        )
