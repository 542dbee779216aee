"""One prompt, several answers. That is fine for stories and wrong for facts: a model learns an average that nobody gave."""

from __future__ import annotations

from typing import ClassVar, Literal

import polars as pl
from pydantic import Field

from tunewright.audit.checks._shared import excerpt, rows_at
from tunewright.core.parts import Check, Look


def folded(name: str) -> pl.Expr:
    """Letter case and white space make no difference."""
    return pl.col(name).fill_null("").str.to_lowercase().str.replace_all(r"\s+", " ").str.strip_chars()


class ConflictingAnswers(Check):
    """The same prompt as another row, but a different answer. Short answers that differ are a warning."""

    severity: ClassVar[str] = "warning"
    needs: ClassVar[tuple[str, ...]] = ("answer",)
    scope: ClassVar[Literal["row", "all"]] = "all"
    short: int = Field(5, ge=0, description="answers of up to this many words cannot both be right; differing longer ones are only shown")

    def measure(self, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        held = rows.select("row_id", "answer", asked=folded("text").hash(3), said=folded("answer").hash(3), text=excerpt())
        held = held.filter((rows["text"].fill_null("").str.strip_chars() != "") & (rows["answer"].fill_null("").str.strip_chars() != ""))
        torn = held.filter(pl.col("said").n_unique().over("asked") > 1)
        other = torn.join(torn.select("asked", "said", other_id="row_id", other="answer"), on="asked", maintain_order="left")
        other = other.filter(pl.col("said") != pl.col("said_right")).unique("row_id", keep="first", maintain_order=True)
        words = [pl.col(name).str.count_matches(r"\S+") for name in ("answer", "other")]
        answers = [excerpt(name).alias(name) for name in ("answer", "other")]
        return other.select("row_id", "other_id", "text", *answers, words=pl.max_horizontal(words))

    def measure_scan(self, rows: pl.LazyFrame, look: Look) -> pl.DataFrame:
        held = rows.select(asked=folded("text").hash(3), said=folded("answer").hash(3)).collect(engine="streaming")
        torn = held.select((pl.col("said").n_unique().over("asked") > 1).arg_true())["said"]
        return self.measure(rows_at(rows, torn), look)

    def decide(self, measures: pl.DataFrame, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        brief = pl.when(pl.col("words") <= self.short)
        return measures.select(
            "row_id",
            evidence=pl.format("answered “{}”, elsewhere “{}”: {}", "answer", "other", "text"),
            related_row_id="other_id",
            field=pl.lit("answer"),
            score=brief.then(1.0).otherwise(0.5),
            severity=brief.then(pl.lit(self.severity)).otherwise(pl.lit("info")),
            suggested_fix=pl.lit("review"),
        )
