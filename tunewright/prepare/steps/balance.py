"""Make rare classes, or rare slices, count: by weights in training, by repeating their rows, or by leaving out others.

    {name: balance, mode: weights, target: equal}         each class counts as much as each other
    {name: balance, mode: oversample, target: sqrt}       half-way (on the scale of logarithms) between as it is and equal
    {name: balance, mode: undersample, target: {spam: 0.4, ham: 0.6}, by: label}

Only training rows are touched: validation and test show the world as it is.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import polars as pl
from pydantic import Field, field_validator

from tunewright.core.errors import DataError
from tunewright.core.parts import Look, Step, StepResult
from tunewright.core.settings import did_you_mean
from tunewright.prepare.split_by import column_of
from tunewright.prepare.steps._shared import change, drop


class Balance(Step):
    """Weighs, repeats or leaves out training rows. Reasons: balanced_weight, oversampled, undersampled."""

    scope: ClassVar[Literal["all", "train"]] = "train"
    mode: Literal["weights", "oversample", "undersample"] = Field(
        "weights", description="weights change no row and cost no time in training"
    )
    target: Literal["equal", "sqrt"] | dict[str, float] = Field(
        "equal", description="shares wanted: equal, sqrt (milder), or {value: share}"
    )
    by: str = Field("label", description="column whose values are balanced")
    most: float = Field(10.0, gt=1, description="a row counts at most this many times what it would")
    seed: int = Field(17, ge=0, description="decides which rows are repeated or left out")

    @field_validator("target")
    @classmethod
    def _shares(cls, value: str | dict[str, float]) -> str | dict[str, float]:
        if isinstance(value, dict) and (abs(sum(value.values()) - 1) > 1e-6 or min(value.values(), default=0) <= 0):
            raise ValueError("shares must be above 0 and add up to 1")
        return value

    def run(self, rows: pl.DataFrame, look: Look) -> StepResult:
        name = column_of(rows, self.by, "balance.by")
        values = rows[name].cast(pl.String).fill_null("").alias("__value")
        counts = dict(values.value_counts(sort=True).iter_rows())
        factor = values.replace_strict(self._factors(counts), return_dtype=pl.Float64) if counts else values.cast(pl.Float64)
        if self.mode == "weights":
            return _weighted(rows, factor, values)
        draw = pl.Series(np.random.default_rng(self.seed).random(len(rows)), dtype=pl.Float64)
        if self.mode == "oversample":
            return _repeated(rows, factor / (factor.min() or 1), draw, look.step)
        share = factor / (factor.max() or 1)
        rank = draw.to_frame("d").select(pl.col("d").rank("ordinal").over(values)).to_series() - 1
        size = values.replace_strict(counts, return_dtype=pl.Float64) if counts else factor
        return drop(rows, rank >= (share * size).round().clip(lower_bound=1), "undersampled", f"balanced by {self.by}")

    def _factors(self, counts: dict[str, int]) -> dict[str, float]:
        """How much more each value should count than it does: wanted share by share."""
        total = sum(counts.values())
        if isinstance(self.target, dict):
            if odd := [one for one in self.target if one not in counts]:
                raise DataError(f"balance.target: no training row has {self.by} {odd[0]!r}.{did_you_mean(odd[0], list(counts))}")
            if missing := [one for one in counts if one not in self.target]:
                raise DataError(f"balance.target: name a share for every value of {self.by}; {missing[0]!r} has none.")
            wanted = self.target
        else:
            power = 0.0 if self.target == "equal" else 0.5
            raised = {one: count**power for one, count in counts.items()}
            wanted = {one: value / sum(raised.values()) for one, value in raised.items()}
        return {one: min(self.most, wanted[one] * total / count) for one, count in counts.items()}


def _weighted(rows: pl.DataFrame, factor: pl.Series, values: pl.Series) -> StepResult:
    """Existing weights times the factor, scaled to a mean of 1."""
    old = rows["weight"].cast(pl.Float64).fill_null(1.0) if "weight" in rows.columns else pl.repeat(1.0, len(rows), eager=True)
    raw = old * factor
    mean = raw.mean()
    weight = (raw / mean if isinstance(mean, float) and mean > 0 else raw).round(6)
    new = rows.with_columns(weight=weight)
    before = rows["weight"].cast(pl.Float64) if "weight" in rows.columns else pl.repeat(None, len(rows), dtype=pl.Float64, eager=True)
    other = new.with_columns(__value=values).filter(before.ne_missing(weight))
    return StepResult(new, change(other, "fixed", "balanced_weight", pl.format("{} has weight {}", "__value", "weight")))


def _repeated(rows: pl.DataFrame, times: pl.Series, draw: pl.Series, step: int) -> StepResult:
    """Each row as often as `times` says; the part after the point is the chance of one more."""
    copies = (times.floor() - 1 + (draw < times - times.floor()).cast(pl.Float64)).cast(pl.Int64).clip(lower_bound=0)
    had = "parent_id" in rows.columns
    rows = rows if had else rows.with_columns(parent_id=pl.lit(None, pl.String))
    new = rows.with_columns(__copy=pl.int_ranges(1, copies + 1)).filter(copies > 0).explode("__copy")
    new = new.with_columns(parent_id="row_id", row_id=pl.format("{}+copy{}.{}", "row_id", pl.lit(step), "__copy")).drop("__copy")
    said = change(new, "added", "oversampled", pl.format("repeats {}", "parent_id"))
    return StepResult(pl.concat([rows, new]), said)
