"""Intervals, paired tests and power for scores of systems that answered the same rows.

Every metric here is a function of *sums of per-row evidence* (see `evidence.py`), so a resampled score is
`weights @ sums`. Rows that belong together (sentences of one review) are summed into their group first, and equal groups
are kept once with a count: 10,000 resamples of 560 rows take milliseconds.

    sample = Sample.of(evidence, groups)                     # evidence (rows, systems, k), groups (rows,)
    bootstrap(sample, lambda sums: value(sums[..., 0, :]))   # -> Interval(estimate=.61, low=.56, high=.66, ...)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tunewright.core.errors import DataError
from tunewright.core.optional import require
from tunewright.core.score import Floats, Ints
from tunewright.core.statistics import Interval as Interval
from tunewright.core.statistics import clopper_pearson as clopper_pearson
from tunewright.core.statistics import design_effect as design_effect
from tunewright.core.statistics import holm as holm
from tunewright.core.statistics import proportion as proportion

special: Any = require("scipy.special", "audit")

Statistic = Callable[[Floats], Floats]
CELLS = 4_000_000  # largest intermediate array of a block of resamples (32 MB)
DRAWS = 100_000_000  # numbers drawn for one interval: a few seconds


@dataclass(frozen=True)
class Sample:
    """Evidence summed per group: patterns (u, systems, k), counts (u,) groups that look like it, strata (u,) in which
    groups are resampled; `holding` counts, for each class, the groups that hold it."""

    patterns: Floats
    counts: Ints
    strata: Ints
    rows: int
    groups: int
    holding: Ints

    @classmethod
    def of(cls, evidence: Floats, groups: Ints, classes: Ints | None = None, strata: Ints | None = None) -> Sample:
        """evidence (rows, systems, k); the others (rows,). A group takes the stratum of its first row, so pass
        `strata` only where groups do not mix them. Raises DataError without rows."""
        if len(evidence) == 0:
            raise DataError("statistics need at least 1 row, but got 0. Give the test split some rows.")
        order = np.argsort(groups, kind="stable")
        starts = np.flatnonzero(np.r_[True, np.diff(groups[order]) != 0])
        sums = np.add.reduceat(evidence[order].astype(np.float64), starts, axis=0).reshape(len(starts), -1)
        stratum = np.zeros(len(starts)) if strata is None else strata[order][starts]
        unique, counts = np.unique(np.column_stack([stratum, sums]), axis=0, return_counts=True)
        pairs = np.column_stack([np.zeros(len(groups)) if classes is None else classes, groups])
        holding = np.unique(np.unique(pairs, axis=0)[:, 0], return_counts=True)[1]
        patterns = unique[:, 1:].reshape(-1, *evidence.shape[1:])
        return cls(patterns, counts, unique[:, 0].astype(np.int64), len(evidence), len(starts), holding)

    @property
    def total(self) -> Floats:
        """Sums over all rows, (systems, k)."""
        return np.tensordot(self.counts, self.patterns, axes=1)

    def unseen(self, confidence: float) -> float:
        """Share of cases that may behave unlike all seen: 1 - (alpha/2)^(1/groups), Clopper-Pearson's limit for 0 of
        n, averaged over classes."""
        return float(np.mean(1 - ((1 - confidence) / 2) ** (1 / self.holding)))

    def blocks(self, resamples: int) -> Iterator[int]:
        """Sizes that add up to `resamples` and keep arrays small."""
        size = max(1, CELLS // max(len(self.counts), self.patterns[0].size))
        return (min(size, resamples - start) for start in range(0, resamples, size))

    def resample(self, statistic: Statistic, resamples: int, seed: int) -> Floats:
        """`statistic` of whole groups drawn with replacement, within strata: (resamples,)."""
        rng, flat, draws = np.random.default_rng(seed), self.patterns.reshape(len(self.counts), -1), []
        for size in self.blocks(resamples):
            sums = np.zeros((size, flat.shape[1]))
            for stratum in np.unique(self.strata):
                inside = self.strata == stratum
                count = self.counts[inside]
                sums += rng.multinomial(count.sum(), count / count.sum(), size=size) @ flat[inside]
            draws.append(statistic(sums.reshape(size, *self.patterns.shape[1:])))
        return np.concatenate(draws)


def bootstrap(
    sample: Sample,
    statistic: Statistic,
    *,
    confidence: float = 0.95,
    resamples: int = 5_000,
    seed: int = 0,
    bounds: tuple[float, float] = (0.0, 1.0),
) -> Interval:
    """BCa interval (Efron 1987, doi:10.1080/01621459.1987.10478410) of `statistic`, sums (..., systems, k) -> (...).

    Where nothing varies (all right, all wrong, equal systems, one group) a bootstrap has width zero and would claim
    certainty; then the limits lie `sample.unseen()` of the range away. A statistic that is not finite on the whole
    sample (a gain over zero) gets `bounds`, inside which all limits stay.
    """
    low, high = bounds
    with np.errstate(divide="ignore", invalid="ignore"):
        estimate = float(statistic(sample.total[None])[0])
        if not math.isfinite(estimate):
            return Interval(estimate, low, high, math.inf, "not defined")
        most = DRAWS // len(sample.counts)  # evidence of many different rows, as of perplexity: fewer, never under 1,000
        draws = sample.resample(statistic, min(resamples, max(1_000, most)), seed)
        draws = np.where(np.isnan(draws), estimate, draws)
        if np.ptp(draws) < 1e-12:
            reach = (high - low) / sample.patterns.shape[1] * sample.unseen(confidence)
            return Interval(estimate, max(low, estimate - reach), min(high, estimate + reach), 0.0, "unseen cases")
        limits = np.quantile(draws, _bca(sample, statistic, estimate, draws, confidence), method="inverted_cdf")
        error = float(np.std(draws, ddof=1))
    error = error if math.isfinite(error) else math.inf
    return Interval(estimate, max(low, float(limits[0])), min(high, float(limits[1])), error, "bootstrap BCa")


def _bca(sample: Sample, statistic: Statistic, estimate: float, draws: Floats, confidence: float) -> Floats:
    """The two levels at which to read `draws`: bias from their share below the estimate, acceleration from leaving out
    one group at a time, reach widened for few groups (Hesterberg 2015, doi:10.1080/00031305.2015.1089789)."""
    below = (np.mean(draws < estimate) + np.mean(draws <= estimate)) / 2
    bias = special.ndtri(np.clip(below, 1 / len(draws), 1 - 1 / len(draws)))
    left_out = statistic(sample.total - sample.patterns)
    gap = np.average(left_out, weights=sample.counts) - left_out
    spread = float(sample.counts @ gap**2)
    acceleration = float(sample.counts @ gap**3) / (6 * spread**1.5) if spread > 0 else 0.0
    freedom = sample.groups - 1
    reach = special.stdtrit(freedom, (1 + confidence) / 2) * math.sqrt(sample.groups / freedom)
    shifted = bias + np.array([-reach, reach])
    levels: Floats = special.ndtr(bias + shifted / np.maximum(1 - acceleration * shifted, 0.1))
    return levels


def mcnemar(only_first: int, only_second: int) -> float:
    """Two-sided exact p that two systems are equally often right, from the rows where just one is (McNemar 1947)."""
    n = only_first + only_second
    return min(1.0, 2 * float(special.bdtr(min(only_first, only_second), n, 0.5))) if n else 1.0


def sign_flip(sample: Sample, value: Statistic, *, resamples: int = 10_000, seed: int = 0) -> float:
    """Two-sided p that two systems are exchangeable: swap their answers in random whole groups and count how often
    |value(second) - value(first)| gets as large as observed; (1 + hits) / (1 + resamples) (Phipson & Smyth 2010,
    doi:10.2202/1544-6115.1585). `sample` holds two systems; value: (..., k) -> (...)."""
    gap = sample.patterns[:, 1] - sample.patterns[:, 0]
    differs = np.any(gap != 0, axis=1)
    counts, gap, (first, second) = sample.counts[differs], gap[differs], sample.total
    observed = abs(float(value(second[None])[0] - value(first[None])[0]))
    if not math.isfinite(observed):
        raise DataError(f"a permutation test needs finite scores, but the difference is {observed}.")
    rng, hits = np.random.default_rng(seed), 0
    for size in sample.blocks(resamples):
        moved = rng.binomial(counts, 0.5, size=(size, len(counts))) @ gap
        hits += int(np.sum(np.abs(value(second - moved) - value(first + moved)) >= observed - 1e-12))
    return (1 + hits) / (1 + resamples)


def corrected_confidence(confidence: float, openings: int) -> float:
    """Bonferroni over openings of the test: 1 - alpha / openings. 95% becomes 97.5% at the second look."""
    if openings < 1 or not 0 < confidence < 1:
        raise DataError(f"need openings >= 1 and 0 < confidence < 1, but got {openings} and {confidence}.")
    return 1 - (1 - confidence) / openings


def minimum_detectable_difference(standard_error: float, trials: float, confidence: float = 0.95, power: float = 0.8) -> float:
    """Smallest true difference that a two-sided paired test sees with `power`: (z_alpha/2 + z_power) * SE.

    SE of the paired difference holds the observed discordance and the design effect of the groups: for accuracy
    SE^2 = (discordant share - difference^2) * effect / rows, as in Connor (1987, doi:10.2307/2531961). Floor: even a
    difference without one loss needs sqrt(n d) = z_alpha/2 + z_power sqrt(1 - d), solved for d with n = `trials`, the
    number of independent rows (rows / design effect).
    """
    alpha_z, power_z = special.ndtri((1 + confidence) / 2), special.ndtri(power)
    floor = 1.0
    for _ in range(50):
        floor = min(1.0, (alpha_z + power_z * math.sqrt(1 - floor)) ** 2 / trials)
    return float(min(1.0, max((alpha_z + power_z) * standard_error, floor)))


def rows_needed(difference: float, rows: int, detectable: float) -> int | None:
    """Rows at which `difference` is the detectable one, if `detectable` is that of `rows`: errors fall with the square
    root of rows. None for a difference of zero, which no number of rows can show."""
    return math.ceil(rows * max(1.0, (detectable / difference) ** 2)) if difference else None
