"""Preference pairs that teach nothing (both answers alike), or the wrong thing (the better answer is marked as the worse one).

`likely_inverted` is a guess from cheap signs: the chosen answer refuses or breaks off and the rejected one does not. It is shown, never
acted upon. That chosen answers are longer throughout is `preference_length`.
"""

from __future__ import annotations

from typing import ClassVar

import polars as pl
from pydantic import Field

from tunewright.audit.checks._shared import excerpt
from tunewright.audit.checks.refusals import BEGINNING
from tunewright.audit.checks.truncated_answers import ENDED, FUNCTION_WORDS, OPEN_BRACKET
from tunewright.core.parts import Check, Look
from tunewright.text.phrases import phrases
from tunewright.text.repair import empty

LEAST = 0.5  # similarity that is measured, so that the threshold can move


class PreferencePairs(Check):
    """A pair whose sides are alike, empty, about different prompts, or perhaps the wrong way round."""

    needs: ClassVar[tuple[str, ...]] = ("answer", "rejected")
    alike: float = Field(0.9, ge=LEAST, le=1, description="share of common words from which two answers are nearly alike")

    def measure(self, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        sides = rows.select("row_id", "answer", "rejected")
        folded = {name: pl.col(name).str.to_lowercase().str.replace_all(r"\s+", " ").str.strip_chars() for name in ("answer", "rejected")}
        starts = {name: pl.col(name).str.strip_chars_start().str.head(60) for name in ("answer", "rejected")}
        begins = {name: start.str.replace_all(r"\s+", "").str.head(4).str.to_lowercase() for name, start in starts.items()}
        alike = sides.filter(begins["answer"] == begins["rejected"]).with_columns(**folded).filter(pl.col("answer") == pl.col("rejected"))
        found = {
            "empty_side": sides.filter(_blank("answer") | _blank("rejected")).select("row_id"),
            "alike": alike.select("row_id"),
            "prompts_differ": _other_prompt(sides),
            "nearly_alike": _similar(sides),
            "likely_inverted": _inverted(sides),
        }
        parts = [
            frame.select("row_id", reason=pl.lit(reason), score=pl.col("score") if "score" in frame.columns else pl.lit(1.0))
            for reason, frame in found.items()
        ]
        first = pl.concat(parts).unique("row_id", keep="first", maintain_order=True)
        told = sides.join(first, on="row_id", maintain_order="left").with_columns(chosen=excerpt("answer"), other=excerpt("rejected"))
        return told.select(
            "row_id", "reason", "score", pl.col("chosen").str.head(90).fill_null(""), pl.col("other").str.head(90).fill_null("")
        )

    def decide(self, measures: pl.DataFrame, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        found = measures.filter((pl.col("reason") != "nearly_alike") | (pl.col("score") >= self.alike))
        mild = pl.when(pl.col("reason").is_in(["nearly_alike", "likely_inverted"]))
        return found.select(
            "row_id",
            "score",
            field=pl.lit("rejected"),
            evidence=pl.format("{}: chosen '{}', rejected '{}'", "reason", "chosen", "other"),
            severity=mild.then(pl.lit("info")).otherwise(pl.lit(self.severity)),
            suggested_fix=mild.then(pl.lit("review")).otherwise(pl.lit("drop the row")),
        )


def _blank(column: str) -> pl.Expr:
    """Nothing visible; only short values are looked at closely."""
    short = pl.col(column).str.len_bytes().fill_null(0) <= 30
    return short & empty(pl.when(short).then(pl.col(column)))


def _other_prompt(sides: pl.DataFrame) -> pl.DataFrame:
    """Pairs of whole transcripts ('Human: ... Assistant: ...') that answer different prompts."""
    both = sides.filter(pl.all_horizontal(pl.col(name).str.contains("\n\nAssistant:", literal=True) for name in ("answer", "rejected")))
    prompt = {name: pl.col(name).str.extract(r"(?s)^(.*?)\n\nAssistant:", 1).str.strip_chars() for name in ("answer", "rejected")}
    return both.filter(prompt["answer"] != prompt["rejected"]).select("row_id")


def _similar(sides: pl.DataFrame) -> pl.DataFrame:
    """Pairs of about the same length with many common words; the score is the Jaccard similarity of their words."""
    size, other = pl.col("answer").str.len_bytes().cast(pl.Int64), pl.col("rejected").str.len_bytes().cast(pl.Int64)
    near = sides.filter((size * 10 >= other * 8) & (other * 10 >= size * 8) & (size >= 20))
    begins = pl.col("answer").str.head(12) == pl.col("rejected").str.head(12)
    near = near.filter(begins | (pl.col("answer").str.tail(12) == pl.col("rejected").str.tail(12)))
    words = {name: pl.col(name).str.to_lowercase().str.extract_all(r"[\w']+").list.unique() for name in ("answer", "rejected")}
    near = near.with_columns(**words).with_columns(common=pl.col("answer").list.set_intersection("rejected").list.len().cast(pl.Int64))
    union = pl.col("answer").list.len().cast(pl.Int64) + pl.col("rejected").list.len().cast(pl.Int64) - pl.col("common")
    return near.select("row_id", score=pl.col("common") / union).filter(pl.col("score") >= LEAST)


def _inverted(sides: pl.DataFrame) -> pl.DataFrame:
    """Pairs whose chosen answer refuses or breaks off while the rejected one does neither."""
    clue, form = ("|".join(getattr(one, part) for one in phrases("refusals")) for part in ("clue", "form"))
    tail = {name: pl.col(name).str.tail(160).str.strip_chars_end() for name in ("answer", "rejected")}
    broken = {
        name: one.str.contains(OPEN_BRACKET) | (~one.str.contains(ENDED) & one.str.contains(FUNCTION_WORDS)) for name, one in tail.items()
    }
    begin = {name: pl.col(name).str.head(BEGINNING) for name in ("answer", "rejected")}
    maybe = sides.filter(begin["answer"].str.contains(clue))
    refusing = maybe.filter(begin["answer"].str.contains(form) & ~begin["rejected"].str.contains(form))
    breaking = sides.filter(broken["answer"] & ~broken["rejected"])
    return pl.concat([refusing, breaking]).select("row_id", score=0.5).unique("row_id", keep="first", maintain_order=True)
