"""One or two words rarely carry an answer; a few such rows are fine, many point at a broken export."""

from __future__ import annotations

from typing import ClassVar

import polars as pl
from pydantic import Field

from tunewright.core.parts import Check, Look
from tunewright.text.repair import UNSPACED, empty


class ShortText(Check):
    """Hardly any words. Each character of a script without spaces counts as a word; empty rows are `empty_text`."""

    severity: ClassVar[str] = "info"
    min_words: int = Field(3, ge=1, description="rows with fewer words are shown")

    def run(self, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        words = pl.col("text").str.count_matches(rf"[{UNSPACED}]|[^\s{UNSPACED}]+")
        return rows.filter((words < self.min_words) & ~empty(pl.col("text"))).select(
            "row_id", evidence="text", score=1 - words / self.min_words, suggested_fix=pl.lit("review")
        )
