"""Chosen answers that are nearly always the longer ones: preference training then learns to be long (Park et al. 2024, arXiv:2403.19159)."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import polars as pl
from pydantic import Field

from tunewright.core.parts import Check, Look

Z = 1.959964  # of a 95% interval


class PreferenceLength(Check):
    """The chosen answer is the longer one far more often than by chance, or the shorter one."""

    needs: ClassVar[tuple[str, ...]] = ("answer", "rejected")
    scope: ClassVar[Literal["row", "all"]] = "all"
    show: float = Field(0.6, ge=0.5, le=1, description="share of pairs, at the near end of its interval, from which it is mentioned")
    warn: float = Field(0.7, ge=0.5, le=1, description="share from which it is a warning")

    def measure(self, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        return _compared(rows.select(*_LENGTHS))

    def measure_scan(self, rows: pl.LazyFrame, look: Look) -> pl.DataFrame:
        return _compared(rows.select(*_LENGTHS).collect(engine="streaming"))

    def decide(self, measures: pl.DataFrame, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        longer, shorter, chosen, rejected = measures.row(0)
        many, pairs = max(longer, shorter), longer + shorter
        if not pairs:
            return pl.DataFrame()
        low, high = wilson(many, pairs)
        if low < self.show:
            return pl.DataFrame()
        side = "longer" if longer >= shorter else "shorter"
        said = f"the chosen answer is the {side} one in {many / pairs:.0%} of {pairs:,} pairs (95% interval {low:.0%} to {high:.0%}); "
        said += f"half of the chosen have over {chosen:.0f} characters, of the rejected over {rejected:.0f}"
        severity = self.severity if low >= self.warn else "info"
        return pl.DataFrame(
            {
                "field": "answer",
                "evidence": said,
                "severity": severity,
                "suggested_fix": "balance the lengths, or use a length-controlled objective",
            }
        )


_LENGTHS = [pl.col(name).str.len_chars() for name in ("answer", "rejected")]


def _compared(lengths: pl.DataFrame) -> pl.DataFrame:
    chosen, rejected = pl.col("answer"), pl.col("rejected")
    counts = {"longer": (chosen > rejected).sum(), "shorter": (chosen < rejected).sum()}
    return lengths.select(**counts, chosen=chosen.median(), rejected=rejected.median())


def wilson(hits: int, rows: int) -> tuple[float, float]:
    """Wilson's 95% interval of a share."""
    share, spread = hits / rows, Z * Z / rows
    centre, half = share + spread / 2, Z * math.sqrt(share * (1 - share) / rows + spread / rows / 4)
    return (centre - half) / (1 + spread), (centre + half) / (1 + spread)
