"""Abuse, slurs, threats and coarse words: seldom a fault of the data, often something to decide about before a model learns them.

The words are in `text/data/toxicity.tsv`: short, English, and to be read as "look here". A quotation or a film title is a hit as good as
an insult, so everything is `info` unless `warn` names its kind. With `model: true` and the extra `safety`, a small linear model
(alt-profanity-check) scores the hits and one other row in fifty.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import polars as pl
from pydantic import Field

from tunewright.audit.checks._shared import excerpt
from tunewright.audit.checks._spots import TOLD, told
from tunewright.core.optional import require
from tunewright.core.parts import Check, Look
from tunewright.text.phrases import phrases

Kind = Literal["threat", "slur", "harassment", "profanity", "model"]
SCORES = {"threat": 0.9, "slur": 0.9, "harassment": 0.7, "profanity": 0.4}
SAMPLE, SURE = 50, 0.9


class Toxicity(Check):
    """Threats, slurs, insults or coarse words. A list of English words, which cannot tell a quotation from an insult."""

    severity: ClassVar[str] = "info"
    measured_by: ClassVar[tuple[str, ...]] = ("model",)
    warn: list[Kind] = Field([], description="kinds that are a warning here: threat, slur, harassment, profanity, model")
    model: bool = Field(False, description="also score the hits, and one other row in fifty, with a linear model (extra safety)")

    def measure(self, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        found = told(rows, phrases("toxicity")).with_row_index("place")
        score = pl.col("kind").replace_strict(SCORES, default=0.0, return_dtype=pl.Float64)
        worst = found.with_columns(score=score).sort("score", descending=True, maintain_order=True)
        worst = worst.unique(["row_id", "field"], keep="first", maintain_order=True).sort("place").drop("place")
        return self._scored(rows, worst) if self.model else worst

    def _scored(self, rows: pl.DataFrame, worst: pl.DataFrame) -> pl.DataFrame:
        """The finds with the model's probability, and what else the model is sure of among one row in fifty."""
        judge = require("profanity_check", "safety").predict_prob
        texts = (
            rows.select("row_id", "text")
            .drop_nulls()
            .filter(pl.col("row_id").is_in(worst["row_id"].implode()) | (pl.col("row_id").hash(0) % SAMPLE == 0))
        )
        if texts.is_empty():
            return worst
        texts = texts.with_columns(believed=pl.Series(judge(texts["text"].to_list()), dtype=pl.Float64))
        listed = worst.join(texts.select("row_id", "believed"), on="row_id", how="left", maintain_order="left")
        listed = listed.with_columns(
            score=pl.when(pl.col("field") == "text").then(pl.col("believed")).otherwise(None).fill_null(pl.col("score"))
        )
        other = texts.filter(pl.col("believed") >= SURE).join(worst, on="row_id", how="anti", maintain_order="left")
        other = other.with_columns(
            kind=pl.lit("model"),
            field=pl.lit("text"),
            evidence=pl.format("model {}: {}", pl.col("believed").round(2), excerpt()),
            score="believed",
        )
        both = pl.concat([listed, other], how="diagonal_relaxed").select([*TOLD, "score"])
        return rows.select("row_id").join(both, on="row_id", maintain_order="left_right")

    def decide(self, measures: pl.DataFrame, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        bad = pl.when(pl.col("kind").is_in(self.warn))
        return measures.select(
            "row_id",
            "field",
            "start",
            "end",
            "evidence",
            "score",
            severity=bad.then(pl.lit("warning")).otherwise(pl.lit(self.severity)),
            suggested_fix=pl.lit("review"),
        )
