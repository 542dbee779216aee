"""Lines that many rows share word for word, whatever they say: a signature, a footer, a disclaimer that no list of phrases knows.

Lines are what stands between line feeds and ends of sentences, of 30 characters or more. They are counted by hash in batches, so
memory holds one number a line; the texts of those that count are looked up afterwards. Rows that are copies as a whole count once
for each line: see `exact_duplicates` for these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import ClassVar, Literal

import polars as pl
from pydantic import Field

from tunewright.audit.checks._shared import batches_of
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
        return _shared_lines(lambda: (texts[start : start + BATCH] for start in range(0, len(texts), BATCH)), len(texts))

    def measure_scan(self, rows: pl.LazyFrame, look: Look) -> pl.DataFrame:
        text = pl.col("text").cast(pl.String)
        first = rows.select(text.hash(0)).collect(engine="streaming")["text"].is_first_distinct()

        def batches() -> Iterator[pl.DataFrame]:
            start = 0
            for part in batches_of(rows, "row_id", text):
                yield part.filter(first[start : start + len(part)])
                start += len(part)

        return _shared_lines(batches, int(first.sum()))

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


def _shared_lines(batches: Callable[[], Iterator[pl.DataFrame]], looked: int) -> pl.DataFrame:
    """The lines that most texts share: a row that has each, and in how many of the `looked` texts it stands."""
    hashes = [_lines(part)["hash"] for part in batches()]
    if not hashes:
        return pl.DataFrame()
    counts = pl.concat(hashes).rename("hash").value_counts(name="rows").filter(pl.col("rows") >= LEAST_ROWS)
    if counts.is_empty():
        return pl.DataFrame()
    often = counts.sort("rows", "hash", descending=[True, False]).head(1000)
    named = [
        _lines(part).join(often, on="hash", how="semi", maintain_order="left").unique("hash", keep="first", maintain_order=True)
        for part in batches()
    ]
    first = pl.concat(named).unique("hash", keep="first", maintain_order=True)
    return often.join(first, on="hash", maintain_order="left").select("row_id", "line", "rows", looked=pl.lit(looked))


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
