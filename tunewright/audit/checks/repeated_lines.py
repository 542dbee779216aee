"""Lines that many rows share word for word, whatever they say: a signature, a footer, a disclaimer that no list of phrases knows.

Lines are what stands between line feeds and ends of sentences, of 30 characters or more. They are counted by hash in batches, so
memory holds one number a line; the texts of those that count are looked up afterwards. Rows that are copies as a whole count once
for each line: see `exact_duplicates` for these.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import polars as pl
from pydantic import Field

from tunewright.core.parts import Check, Look

LINE = r"[^\n.!?]{30,}"
BATCH, SHOWN = 50_000, 150
LEAST_ROWS = 3


class RepeatedLines(Check):
    """A line that many different rows share word for word."""

    severity: ClassVar[str] = "info"
    scope: ClassVar[Literal["row", "all"]] = "all"
    share: float = Field(0.005, gt=0, le=1, description="share of the rows that must hold the line")
    min_rows: int = Field(10, ge=LEAST_ROWS, description="rows that must hold it")
    most: int = Field(50, ge=1, description="lines shown at most, the most frequent first")

    def measure(self, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        texts = rows.select("row_id", text=pl.col("text").cast(pl.String)).unique("text", keep="first", maintain_order=True)
        pieces = range(0, len(texts), BATCH)
        hashes = [_lines(texts[start : start + BATCH])["hash"] for start in pieces]
        if not hashes:
            return pl.DataFrame()
        counts = pl.concat(hashes).rename("hash").value_counts(name="rows").filter(pl.col("rows") >= LEAST_ROWS)
        if counts.is_empty():
            return pl.DataFrame()
        often = counts.sort("rows", "hash", descending=[True, False]).head(1000)
        named = [
            _lines(texts[start : start + BATCH]).join(often, on="hash", how="semi").unique("hash", keep="first", maintain_order=True)
            for start in pieces
        ]
        first = pl.concat(named).unique("hash", keep="first", maintain_order=True)
        return often.join(first, on="hash", maintain_order="left").select("row_id", "line", "rows", looked=pl.lit(len(texts)))

    def decide(self, measures: pl.DataFrame, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        if measures.is_empty():
            return pl.DataFrame()
        many = (pl.col("rows") >= self.min_rows) & (pl.col("rows") >= self.share * pl.col("looked"))
        percent = (100 * pl.col("rows") / pl.col("looked")).round(1)
        return (
            measures.filter(many)
            .head(self.most)
            .select(
                related_row_id="row_id",
                score=pl.col("rows") / pl.col("looked"),
                evidence=pl.format("{} different rows ({}%) share the line: {}", "rows", percent, pl.col("line").str.head(SHOWN)),
                suggested_fix=pl.lit("cut it off before training"),
            )
        )


def _lines(part: pl.DataFrame) -> pl.DataFrame:
    """row_id, line and hash of the lines of each row; a line that stands in a row twice counts once."""
    line = pl.col("text").str.extract_all(LINE)
    lines = (
        part.select("row_id", line=line)
        .filter(pl.col("line").list.len() > 0)
        .explode("line")
        .with_columns(pl.col("line").str.strip_chars())
    )
    return lines.with_columns(hash=pl.col("line").hash(0)).unique(["row_id", "hash"], keep="first", maintain_order=True)
