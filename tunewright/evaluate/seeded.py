"""The difference between two ways of making a system, when each was made several times: test rows and seeds both vary.

    evidence of shape (seeds, rows, k) for each way -> +0.031 (95% interval +0.004 to +0.058, p = 0.03)

The variance of the mean difference is taken from two bootstraps' worth of luck: which test groups there were (groups
are resampled, all seeds together) and which seeds were drawn (the spread of the seeds' own differences, over their number). The two
are added, which counts their interaction twice and so errs on the wide side; the reference is Student's t with
Satterthwaite's degrees of freedom, because three seeds say little about the spread of seeds. Resampling three seeds instead
would give intervals that are too narrow by a fifth.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tunewright.core.score import Floats, Ints
from tunewright.evaluate.statistics import Sample, special

Value = Callable[[Floats], Floats]
METHOD = (
    "paired by test row and seed; variance = bootstrap over groups of test rows + spread over seeds, "
    "Student's t with Satterthwaite's degrees of freedom; Holm over the comparisons"
)


@dataclass(frozen=True)
class SeededDifference:
    """`second` minus `first`, averaged over seeds. `detectable`: the smallest true difference seen with 80% power."""

    estimate: float
    low: float
    high: float
    p_value: float
    detectable: float
    rows_error: float
    seeds_error: float
    freedom: float
    by_seed: list[float]


def difference(value: Value, first: Floats, second: Floats, groups: Ints, confidence: float = 0.95) -> SeededDifference:
    """Compare evidence `first` and `second`, each (seeds, rows, k), of the same test rows in `groups` (rows,).

    With one seed the luck of training is not measured, and the interval is that of this one pair of models.
    """
    seeds = len(first)

    def gaps(sums: Floats) -> Floats:
        return np.asarray(value(sums[..., seeds:, :]) - value(sums[..., :seeds, :]))

    sample = Sample.of(np.concatenate([first, second]).transpose(1, 0, 2), groups)
    by_seed = gaps(sample.total)
    draws = sample.resample(lambda sums: gaps(sums).mean(axis=-1), 2_000, seed=0)
    tail = (1 + confidence) / 2
    rows_error = float(np.std(draws, ddof=1)) * math.sqrt(sample.groups / max(1, sample.groups - 1))
    if rows_error < 1e-9:  # nothing differed on any row: cases unlike all of these may still exist
        rows_error = sample.unseen(confidence) / float(special.ndtri(tail))
    seeds_error = float(np.std(by_seed, ddof=1)) / math.sqrt(seeds) if seeds > 1 else 0.0
    error, freedom = _total(rows_error, sample.groups - 1, seeds_error, seeds - 1)
    estimate, reach = float(by_seed.mean()), float(special.stdtrit(freedom, tail))
    p_value = 2 * float(special.stdtr(freedom, -abs(estimate) / error))
    detectable = (reach + float(special.stdtrit(freedom, 0.8))) * error
    return SeededDifference(
        estimate, estimate - reach * error, estimate + reach * error, p_value, detectable,
        rows_error, seeds_error, freedom, [float(one) for one in by_seed],
    )  # fmt: skip


def _total(rows: float, rows_freedom: int, seeds: float, seeds_freedom: int) -> tuple[float, float]:
    """Standard error and Satterthwaite's degrees of freedom of the sum of two independent parts."""
    variance: Any = rows**2 + seeds**2
    spread = rows**4 / max(1, rows_freedom) + (seeds**4 / seeds_freedom if seeds_freedom > 0 else 0.0)
    return math.sqrt(variance), max(1.0, variance**2 / spread)
