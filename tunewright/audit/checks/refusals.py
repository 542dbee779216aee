"""Answers that refuse, left over from the model that wrote the data: a few hundred of them teach a model to say no.

Phrases: `text/data/refusals.tsv`. Looked for at the beginning of an answer only, so that "the dog refuses to help" further down is
no refusal.
"""

from __future__ import annotations

from typing import ClassVar

import polars as pl
from pydantic import Field

from tunewright.audit.checks._spots import told
from tunewright.core.parts import Check, Look
from tunewright.text.phrases import phrases

BEGINNING = 250


class Refusals(Check):
    """An answer that refuses, or that speaks of itself as a language model. Mere apologies are `info`."""

    needs: ClassVar[tuple[str, ...]] = ("answer",)
    whole: int = Field(400, ge=1, description="an answer up to this many characters is nothing but the refusal")

    def measure(self, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        begun = rows.select("row_id", text="answer", answer=pl.col("answer").str.head(BEGINNING))
        found = told(begun, phrases("refusals"), ["answer"])
        return found.drop("letters").join(
            begun.select("row_id", letters=pl.col("text").str.len_chars()), on="row_id", how="left", maintain_order="left"
        )

    def decide(self, measures: pl.DataFrame, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        mild = pl.when((pl.col("kind") == "apology").all().over("row_id"))
        short = pl.when(pl.col("letters") <= self.whole)
        found = measures.select(
            "row_id",
            "field",
            "evidence",
            score=mild.then(0.4).otherwise(short.then(0.95).otherwise(0.6)),
            severity=mild.then(pl.lit("info")).otherwise(pl.lit(self.severity)),
            suggested_fix=short.then(pl.lit("drop the row")).otherwise(pl.lit("review")),
        )
        return found.unique("row_id", keep="first", maintain_order=True)
