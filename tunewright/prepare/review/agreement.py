"""Do reviewers agree? Cohen's kappa for two, Krippendorff's alpha for any number and missing answers, with bootstrap intervals.

    answers = [["a", "a"], ["b", "a"], ["b", None]]        # units x raters, None where a rater gave no answer
    cohen_kappa([("a", "a"), ("b", "a")])                  # 0.0
    krippendorff_alpha(answers)                            # 0.0

1 is perfect agreement, 0 what chance gives, below 0 worse than chance. Cohen 1960 (doi:10.1177/001316446002000104), Krippendorff
2011, "Computing Krippendorff's alpha-reliability" (nominal and ordinal differences). Intervals resample units (percentile bootstrap);
where all agree that would be an interval of width zero, so its lower end is what the exact limit of 0 disagreements in n units gives.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import Literal

import numpy as np
import numpy.typing as npt

from tunewright.core.errors import DataError

Floats = npt.NDArray[np.float64]
Level = Literal["nominal", "ordinal"]
Answers = Sequence[Sequence[str | None]]


@dataclass(frozen=True)
class Agreement:
    """A coefficient with its interval, from `units` that at least two raters answered. NaN where it is not defined."""

    name: str
    value: float
    low: float
    high: float
    units: int
    raters: tuple[str, ...]


def cohen_kappa(pairs: Sequence[tuple[str, str]]) -> float:
    """Cohen's kappa of two raters. NaN without pairs, or when both give one and the same answer throughout."""
    names = sorted({one for pair in pairs for one in pair})
    table = np.zeros((len(names), len(names)))
    for first, second in pairs:
        table[names.index(first), names.index(second)] += 1
    return float(_kappa(table[None])[0]) if pairs else math.nan


def krippendorff_alpha(answers: Answers, level: Level = "nominal", order: Sequence[str] | None = None) -> float:
    """Krippendorff's alpha of units x raters. `order` ranks the answers for level "ordinal". NaN when there is nothing to pair
    or only one answer was ever given."""
    counts, _ = _counts(answers, level, order)
    return float(_alpha(counts[None], np.ones((1, len(counts))), level)[0]) if len(counts) else math.nan


def agreement(
    answers: Answers, raters: Sequence[str], level: Level = "nominal", order: Sequence[str] | None = None, seed: int = 0
) -> list[Agreement]:
    """Cohen's kappa of each pair of `raters` and Krippendorff's alpha of all of them, with 95% intervals."""
    found = []
    for first, second in combinations(range(len(raters)), 2):
        both = [[one[first], one[second]] for one in answers if one[first] is not None and one[second] is not None]
        if both:
            pairs = [(str(left), str(right)) for left, right in both]
            low, high = _interval(partial(_kappa_of, pairs), len(pairs), seed, _counts(both, "nominal", None)[0])
            found.append(Agreement("cohen_kappa", cohen_kappa(pairs), low, high, len(pairs), (raters[first], raters[second])))
    counts, _ = _counts(answers, level, order)
    if len(counts):
        low, high = _interval(partial(_alpha, counts[None], level=level), len(counts), seed, counts)
        value = krippendorff_alpha(answers, level, order)
        found.append(Agreement(f"krippendorff_alpha_{level}", value, low, high, len(counts), tuple(raters)))
    return found


def confusion(answers: Answers, first: int, second: int) -> dict[str, dict[str, int]]:
    """How often rater `second` said what (inner) where rater `first` said what (outer)."""
    found: dict[str, dict[str, int]] = {}
    for one in answers:
        left, right = one[first], one[second]
        if left is not None and right is not None:
            inner = found.setdefault(left, {})
            inner[right] = inner.get(right, 0) + 1
    return {left: dict(sorted(inner.items())) for left, inner in sorted(found.items())}


def _kappa(table: Floats) -> Floats:
    """Kappa of each contingency table (k, c, c)."""
    total = table.sum(axis=(1, 2))
    with np.errstate(divide="ignore", invalid="ignore"):
        same = np.trace(table, axis1=1, axis2=2) / total
        chance = (table.sum(axis=1) * table.sum(axis=2)).sum(axis=1) / total**2
        kappa: Floats = np.where(chance < 1, (same - chance) / (1 - chance), np.nan)
    return kappa


def _kappa_of(pairs: Sequence[tuple[str, str]], weights: Floats) -> Floats:
    names = sorted({one for pair in pairs for one in pair})
    cells = np.zeros((len(pairs), len(names), len(names)))
    for unit, (first, second) in enumerate(pairs):
        cells[unit, names.index(first), names.index(second)] = 1
    return _kappa(np.tensordot(weights, cells, axes=1))


def _counts(answers: Answers, level: Level, order: Sequence[str] | None) -> tuple[Floats, list[str]]:
    """(units, answers): how many raters gave which answer, for units with at least two answers."""
    given = {one for unit in answers for one in unit if one is not None}
    if level == "ordinal" and order is None:
        raise DataError("an ordinal agreement needs the order of the answers, for example --order negative,neutral,positive.")
    if order is not None and (strange := sorted(given - set(order))):
        raise DataError(
            f"the order {', '.join(order)} says nothing about {', '.join(map(repr, strange))}. Name every answer that was given."
        )
    names = list(order) if order is not None else sorted(given)
    counts = np.array([[sum(one == name for one in unit) for name in names] for unit in answers], dtype=np.float64).reshape(-1, len(names))
    return counts[counts.sum(axis=1) >= 2], names


def _alpha(counts: Floats, weights: Floats, level: Level) -> Floats:
    """Alpha for each line of `weights` (k, units), how often each unit counts; `counts` is (1, units, answers)."""
    units = counts[0]
    size = units.sum(axis=1)
    within = (units[:, :, None] * units[:, None, :] - np.einsum("uc,cd->ucd", units, np.eye(units.shape[1]))) / (size - 1)[:, None, None]
    observed = np.tensordot(weights, within, axes=1)
    totals = observed.sum(axis=2)
    everything = totals.sum(axis=1)
    expected = totals[:, :, None] * totals[:, None, :] - np.einsum("kc,cd->kcd", totals, np.eye(totals.shape[1]))
    far = _differences(totals, level)
    with np.errstate(divide="ignore", invalid="ignore"):
        by_chance = (far * expected).sum(axis=(1, 2)) / (everything - 1)
        alpha: Floats = np.where(by_chance > 0, 1 - (far * observed).sum(axis=(1, 2)) / by_chance, np.nan)
    return alpha


def _differences(totals: Floats, level: Level) -> Floats:
    """Squared difference of each two answers (k, c, c): 0 or 1, or for ranks how many answers lie between them."""
    size = totals.shape[1]
    if level == "nominal":
        return np.broadcast_to(1 - np.eye(size), (len(totals), size, size))
    reached = np.cumsum(totals, axis=1)
    middle = reached - totals / 2
    far: Floats = (middle[:, :, None] - middle[:, None, :]) ** 2
    return far


def _interval(statistic: Callable[[Floats], Floats], units: int, seed: int, counts: Floats, resamples: int = 2_000) -> tuple[float, float]:
    """95% percentile interval over resampled units; the whole range where the coefficient is not defined. `counts` is (units, answers)."""
    weights = np.random.default_rng(seed).multinomial(units, np.full(units, 1 / units), size=resamples).astype(np.float64)
    draws = statistic(weights)
    draws = draws[np.isfinite(draws)]
    if units < 2 or len(draws) < resamples / 2:
        return -1.0, 1.0
    if np.ptp(draws) < 1e-12 and draws[0] < 1:
        return -1.0, 1.0
    if np.ptp(draws) < 1e-12:
        unseen = 1 - 0.025 ** (1 / units)
        by_chance = 1 - float(((counts.sum(axis=0) / counts.sum()) ** 2).sum())
        return max(-1.0, 1 - unseen / by_chance), 1.0
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(low), float(high)
