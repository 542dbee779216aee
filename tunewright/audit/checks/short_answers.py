"""Answers without content: empty ones, and single words where the others are sentences."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import polars as pl
from pydantic import Field

from tunewright.audit.checks._shared import batches_of, excerpt
from tunewright.core.parts import Check, Look
from tunewright.text.repair import UNSPACED, empty

MOST_WORDS, MOST_BYTES = 10, 200  # what is measured, so that the thresholds can move


class ShortAnswers(Check):
    """No answer, or hardly any words where answers usually have many. Each character of a script without spaces is a word."""

    needs: ClassVar[tuple[str, ...]] = ("answer",)
    scope: ClassVar[Literal["row", "all"]] = "all"
    min_words: int = Field(2, ge=1, le=MOST_WORDS, description="answers with fewer words are shown ...")
    usual: int = Field(60, ge=1, description="... when half of the answers have at least this many characters")

    def measure(self, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        return self._few(rows, rows["answer"].str.len_chars().median())

    def measure_scan(self, rows: pl.LazyFrame, look: Look) -> pl.DataFrame:
        half = rows.select(pl.col("answer").str.len_chars()).collect(engine="streaming")["answer"].median()
        return pl.concat([self._few(part, half) for part in batches_of(rows, "row_id", "text", "answer")])

    def _few(self, rows: pl.DataFrame, half: Any) -> pl.DataFrame:
        few = rows.filter(pl.col("answer").str.len_bytes().fill_null(0) <= MOST_BYTES)
        words = pl.col("answer").str.count_matches(rf"[{UNSPACED}]|[^\s{UNSPACED}]+").fill_null(0)
        few = few.select(
            "row_id", "text", "answer", half=pl.lit(half, pl.Float64), words=pl.when(empty(pl.col("answer"))).then(0).otherwise(words)
        )
        return few.filter(pl.col("words") <= MOST_WORDS)

    def decide(self, measures: pl.DataFrame, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        short = (pl.col("words") < self.min_words) & (pl.col("half") >= self.usual)
        none = pl.col("words") == 0
        said = pl.when(none).then(pl.format("no answer to: {}", excerpt())).otherwise(pl.format("{} to: {}", excerpt("answer"), excerpt()))
        return measures.filter(none | short).select(
            "row_id",
            field=pl.lit("answer"),
            evidence=said.fill_null("no answer to nothing"),
            score=pl.when(none).then(1.0).otherwise(0.5),
            severity=pl.when(none).then(pl.lit(self.severity)).otherwise(pl.lit("info")),
            suggested_fix=pl.when(none).then(pl.lit("drop the row")).otherwise(pl.lit("review")),
        )
