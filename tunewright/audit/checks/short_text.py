"""One or two words rarely carry an answer; a few such rows are fine, many point at a broken export."""

from __future__ import annotations

from typing import ClassVar

import polars as pl
from pydantic import Field

from tunewright.audit.checks._shared import excerpt
from tunewright.core.parts import Check, Look
from tunewright.text.repair import UNSPACED, empty

MOST_WORDS, MOST_BYTES = 10, 1_000  # what is measured, so that the threshold can move
FEW = rf"^\s*(?:\S+\s*){{0,{MOST_WORDS}}}$"  # says no at the eleventh word, without reading on


class ShortText(Check):
    """Hardly any words. Each character of a script without spaces counts as a word; empty rows are `empty_text`."""

    severity: ClassVar[str] = "info"
    min_words: int = Field(3, ge=1, le=MOST_WORDS, description="rows with fewer words are shown")

    def measure(self, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        words = pl.col("text").str.count_matches(rf"[{UNSPACED}]|[^\s{UNSPACED}]+")
        few = rows.filter(pl.col("text").str.contains(FEW) & (pl.col("text").str.len_bytes() <= MOST_BYTES))
        return few.select("row_id", "text", words=words).filter(pl.col("words").is_between(1, MOST_WORDS) & ~empty(pl.col("text")))

    def decide(self, measures: pl.DataFrame, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        return measures.filter(pl.col("words") < self.min_words).select(
            "row_id", evidence=excerpt(), score=1 - pl.col("words") / self.min_words, suggested_fix=pl.lit("review")
        )
