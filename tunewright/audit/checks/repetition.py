"""Rows that say the same thing over and over: a scraper's loop, a model that never stopped, a wall of 'buy now'.

Thresholds for documents are Gopher's (Rae et al. 2021, arXiv:2112.11446, table A1); a short text may repeat itself for effect, so
n-grams count from `min_words` on only, and a loop must go round at least `times` times.
"""

from __future__ import annotations

from typing import ClassVar

import polars as pl
from pydantic import Field

from tunewright.audit.checks._spots import SHOWN
from tunewright.core.parts import Check, Look

LEAST = 0.1  # shares that are measured, so that the thresholds can move
SCHEMA: dict[str, type[pl.DataType]] = {
    "row_id": pl.String,
    "field": pl.String,
    "kind": pl.String,
    "share": pl.Float64,
    "times": pl.Int64,
    "words": pl.Int64,
    "start": pl.Int64,
    "end": pl.Int64,
    "shown": pl.String,
}


class Repetition(Check):
    """The same words, lines or letters over and over. The score is the share of the text that they take."""

    severity: ClassVar[str] = "info"
    loop: float = Field(0.3, ge=LEAST, le=1, description="share of a text that one to eight words in a row, said again and again, may take")
    times: int = Field(4, ge=3, description="rounds that a loop must have")
    ngram: float = Field(0.2, ge=LEAST, le=1, description="share that the most frequent two to four words may take (Gopher: 0.16 to 0.20)")
    min_words: int = Field(50, ge=3, description="words that a text must have for its n-grams to count")
    lines: float = Field(0.3, ge=LEAST, le=1, description="share of lines that stood there before (Gopher: 0.30)")
    letter_run: float = Field(0.3, ge=LEAST, le=1, description="share that a run of one letter may take")

    def measure(self, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        from tunewright.text.repeats import repeats

        parts = [pl.DataFrame(schema=SCHEMA | {"row": pl.UInt32})]
        for column in (one for one in ("text", "answer") if one in rows.columns):
            found = repeats(rows[column], LEAST)
            at = rows.select("row_id", said=column)[found["row"]].hstack(found).with_columns(pl.col("said").cast(pl.Binary))
            before = pl.col("said").bin.head(pl.col("start")).cast(pl.String, strict=False).str.len_chars().cast(pl.Int64)
            what = pl.col("said").bin.slice(pl.col("start"), pl.col("end") - pl.col("start")).cast(pl.String, strict=False)
            at = at.with_columns(field=pl.lit(column), shown=what, start=before).with_columns(
                end=pl.col("start") + pl.col("shown").str.len_chars()
            )
            if column != "text":
                at = at.with_columns(start=pl.lit(None, pl.Int64), end=pl.lit(None, pl.Int64))
            short = pl.col("shown").str.head(SHOWN).str.replace_all(r"\s+", " ").fill_null("")
            parts.append(at.with_columns(shown=short).select([*SCHEMA, "row"]))
        return pl.concat(parts, how="vertical_relaxed").sort("row", maintain_order=True).drop("row")

    def decide(self, measures: pl.DataFrame, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        kind, share = pl.col("kind"), pl.col("share")
        wrong = (kind == "loop") & (share >= self.loop) & (pl.col("times") >= self.times)
        wrong |= (kind == "ngram") & (share >= self.ngram) & (pl.col("words") >= self.min_words)
        wrong |= (kind == "lines") & (share >= self.lines)
        wrong |= (kind == "run") & (share >= self.letter_run) & (pl.col("times") >= 20)
        worst = measures.filter(wrong).with_row_index("place").sort("share", descending=True, maintain_order=True)
        worst = worst.unique(["row_id", "field"], keep="first", maintain_order=True).sort("place")  # in the order of the rows again
        percent = (100 * share).round().cast(pl.Int64)
        return worst.select(
            "row_id",
            "field",
            "start",
            "end",
            score="share",
            evidence=pl.format("{}: {} times, {}% of it: {}", "kind", "times", percent, "shown"),
            severity=pl.when(pl.col("field") == "answer").then(pl.lit("warning")).otherwise(pl.lit(self.severity)),
            suggested_fix=pl.lit("review"),
        )
