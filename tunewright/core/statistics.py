"""Intervals and tests of proportions that several stages need; `evaluate.statistics` builds on them.

proportion(right, groups)          # Interval(estimate=.83, low=.79, high=.86, ...) of rows that belong together in groups
same_share(12, 80, 30, 900)        # p that two groups have one share
same_mix([[60, 40], [510, 90]])    # p that two groups have one mix of labels
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tunewright.core.errors import DataError
from tunewright.core.optional import require
from tunewright.core.score import Floats, Ints


def _special() -> Any:
    """SciPy's special functions, loaded when first needed."""
    return require("scipy.special", "audit")


@dataclass(frozen=True)
class Interval:
    """A score with its uncertainty. `method` names what made the limits."""

    estimate: float
    low: float
    high: float
    standard_error: float
    method: str


def clopper_pearson(successes: float, n: float, confidence: float = 0.95) -> tuple[float, float]:
    """Exact limits of a proportion from beta quantiles (1934); counts may be fractional."""
    if not (n > 0 and 0 <= successes <= n):
        raise DataError(f"a proportion needs 0 <= successes <= n and n > 0, but got {successes} of {n}.")
    tail = (1 - confidence) / 2
    low = _special().betaincinv(successes, n - successes + 1, tail) if successes > 0 else 0.0
    high = _special().betaincinv(successes + 1, n - successes, 1 - tail) if successes < n else 1.0
    return float(low), float(high)


def design_effect(values: Floats, groups: Ints) -> float:
    """Variance of the mean of `values` (rows,) in `groups`, over that of independent rows (Kish 1965); at least 1."""
    residual = values - values.mean()
    sums = np.bincount(np.unique(groups, return_inverse=True)[1], weights=residual)
    spread = float(residual @ residual)
    if spread == 0 or len(sums) in (1, len(values)):
        return 1.0
    return max(1.0, len(sums) / (len(sums) - 1) * float(sums @ sums) / spread)


def proportion(right: Floats, groups: Ints, confidence: float = 0.95) -> Interval:
    """Interval of an accuracy from `right` (rows,) of 0/1: Clopper-Pearson for independent rows; for grouped ones Korn &
    Graubard (1998, Survey Methodology 24), which is the same with rows / design effect, shortened by t quantiles, as
    the number of trials. At 0% and 100% each group is one trial, so the width is never zero."""
    n, count = len(right), len(np.unique(groups))
    if n == 0:
        raise DataError("an accuracy needs at least 1 row, but got 0.")
    share, effect, trials = float(np.mean(right)), design_effect(right, groups), float(count)
    if 1 < count < n and 0 < share < 1:
        top = (1 + confidence) / 2
        trials = min(n, n / effect * (_special().stdtrit(n - 1, top) / _special().stdtrit(count - 1, top)) ** 2)
    low, high = clopper_pearson(share * trials, trials, confidence)
    error = math.sqrt(share * (1 - share) * effect / n)
    return Interval(share, low, high, error, "Clopper-Pearson" if count == n else "Korn-Graubard")


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p-values (1979), in the order given: reject those <= alpha, and the chance of any false
    rejection in the family stays <= alpha."""
    order = np.argsort(p_values, kind="stable")
    stepped = np.asarray(p_values, dtype=np.float64)[order] * np.arange(len(p_values), 0, -1)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(stepped))
    return [float(one) for one in adjusted]


def same_share(first: float, of_first: float, second: float, of_second: float) -> float:
    """Two-sided p that `first` of `of_first` and `second` of `of_second` come from one share; see `same_mix`."""
    return same_mix([[first, of_first - first], [second, of_second - second]])


def same_mix(counts: Sequence[Sequence[float]] | Floats) -> float:
    """p that all lines of `counts` (groups, kinds) come from one mix: Pearson's chi-square, and Fisher's exact test (1922) for two
    groups and two kinds with an expected count under 5. Counts may be fractional, as after division by a design effect."""
    table = np.asarray(counts, dtype=np.float64)
    table = table[table.sum(axis=1) > 0][:, table.sum(axis=0) > 0]
    if min(table.shape) < 2:
        return 1.0
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    if table.shape == (2, 2) and expected.min() < 5:
        return float(require("scipy.stats", "audit").fisher_exact(np.rint(table).astype(np.int64)).pvalue)
    freedom = (table.shape[0] - 1) * (table.shape[1] - 1)
    return float(_special().chdtrc(freedom, ((table - expected) ** 2 / expected).sum()))
