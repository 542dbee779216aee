"""Answers that give the prompt back: the mark of a broken export, or of a model that continued a text instead of answering."""

from __future__ import annotations

from typing import ClassVar

import polars as pl
from pydantic import Field

from tunewright.audit.checks._shared import excerpt
from tunewright.core.parts import Check, Look

LEAST_CHARACTERS, BEGINNING = 20, 16


class EchoedPrompt(Check):
    """An answer that repeats the whole prompt (its last turn, in a chat). The score is the share of the answer that the prompt takes."""

    needs: ClassVar[tuple[str, ...]] = ("answer",)
    share: float = Field(0.5, ge=0.1, le=1, description="share of the answer that the prompt must take")

    def measure(self, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        asked = rows.select("row_id", "text", "answer").filter(pl.col("text").str.len_chars() >= LEAST_CHARACTERS)
        turn = pl.when(pl.col("text").str.contains("\n\n", literal=True)).then(pl.col("text").str.split("\n\n").list.last())
        asked = asked.with_columns(text=turn.otherwise("text").str.strip_chars())
        begins = pl.col("text").str.head(BEGINNING).str.to_lowercase()
        asked = asked.filter(
            pl.col("text").str.len_chars() >= LEAST_CHARACTERS, pl.col("answer").str.len_bytes() * 10 >= pl.col("text").str.len_bytes() * 8
        )
        asked = asked.filter(pl.col("answer").str.to_lowercase().str.contains(begins, literal=True))
        folded = {name: pl.col(name).str.to_lowercase().str.replace_all(r"\s+", " ").str.strip_chars() for name in ("text", "answer")}
        same = (
            asked.with_columns(shown=excerpt("answer"))
            .with_columns(**folded)
            .filter(pl.col("answer").str.contains(pl.col("text"), literal=True))
        )
        return same.select("row_id", "shown", share=pl.col("text").str.len_chars() / pl.col("answer").str.len_chars())

    def decide(self, measures: pl.DataFrame, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        percent = (100 * pl.col("share")).round().cast(pl.Int64)
        return measures.filter(pl.col("share") >= self.share).select(
            "row_id",
            field=pl.lit("answer"),
            score="share",
            evidence=pl.format("the prompt is {}% of the answer: {}", percent, "shown"),
            suggested_fix=pl.lit("cut the prompt off, or drop the row"),
        )
