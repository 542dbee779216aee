"""Does the explanation name words that matter? The deletion curve of Samek et al. 2017 (doi 10.1109/TNNLS.2016.2599820).

Drop the 1, 2, 4, ... words that the explanation calls most important; drop as many at random; compare the answer's log-odds
row by row. An explanation that is no better than chance has a difference whose interval holds zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import fmean, stdev
from typing import Any

import numpy as np

from tunewright.core.optional import require

Odds = Callable[[Sequence[tuple[int, Sequence[int]]]], Any]


def deletion_curve(
    whole: Sequence[float], weights: list[list[float]], odds: Odds, sizes: Sequence[int], orders: int, seed: int = 17
) -> dict[str, Any]:
    """Mean change of the log-odds after dropping one word, or `sizes` words, by importance and in `orders` random orders.

    `whole[i]` are row i's log-odds and `weights[i]` what they lose without each word, so a single word needs no scoring;
    `odds([(row, dropped words), ...])` scores the rest. A row counts at k only if it has more than k words. The interval is
    Student's t over rows of the paired difference.
    """
    random = np.random.default_rng(seed)
    jobs: list[tuple[int, int, bool, list[int]]] = []
    for row, own in enumerate(weights):
        ranked = sorted(range(len(own)), key=lambda place: -own[place])
        shuffled = [random.permutation(len(own)).tolist() for _ in range(orders)]
        jobs += [(row, k, order is ranked, order[:k]) for k in sizes if k < len(own) for order in (ranked, *shuffled)]
    several = {row: own for row, own in enumerate(weights) if len(own) > 1}
    ours = {1: {row: [-max(own)] for row, own in several.items()}}
    chance = {1: {row: [-fmean(own)] for row, own in several.items()}}
    found = odds([(row, places) for row, _, _, places in jobs]) if jobs else []
    for (row, k, by_importance, _), value in zip(jobs, found, strict=True):
        side = ours if by_importance else chance
        side.setdefault(k, {}).setdefault(row, []).append(float(value) - whole[row])
    zero = dict.fromkeys(("dropped", "by_importance", "random", "difference", "ci_low", "ci_high"), 0)
    points = [_point(k, ours[k], chance[k]) for k in sorted(ours) if ours[k]]
    return {"rows": len(weights), "orders": orders, "curve": [zero | {"rows": len(weights)}, *points], **_said(points)}


def _point(k: int, ours: dict[int, list[float]], chance: dict[int, list[float]]) -> dict[str, Any]:
    gaps = [fmean(ours[row]) - fmean(chance[row]) for row in ours]
    low, high = t_interval(gaps)
    means = {name: fmean(map(fmean, side.values())) for name, side in (("by_importance", ours), ("random", chance))}
    return {"dropped": k, "rows": len(gaps), **means, "difference": fmean(gaps), "ci_low": low, "ci_high": high}


def t_interval(values: Sequence[float]) -> tuple[float | None, float | None]:
    """95% interval of a mean by Student's t; (None, None) for a single value, which says nothing about its spread."""
    if len(values) < 2:
        return None, None
    t = require("scipy.stats", "audit").t.ppf(0.975, len(values) - 1)
    half = float(t) * stdev(values) / math.sqrt(len(values))
    return fmean(values) - half, fmean(values) + half


def _said(points: list[dict[str, Any]]) -> dict[str, Any]:
    """The curve's last point with an interval as a sentence and a yes, no or cannot tell."""
    last = next((point for point in reversed(points) if point["ci_high"] is not None), None)
    if last is None:
        return {"faithful": None, "text": "too few words or rows to check whether the explanation is faithful"}
    faithful = True if last["ci_high"] < 0 else False if last["ci_low"] > 0 else None
    word = {
        True: "the words it names do matter",
        False: "the words it names do NOT matter",
        None: "it cannot be told whether the words matter",
    }[faithful]
    return {
        "faithful": faithful,
        "text": f"{word}: dropping {last['dropped']} of them changes the log-odds by {last['by_importance']:+.2f}, dropping"
        f" {last['dropped']} at random by {last['random']:+.2f} (95% interval of the difference {last['ci_low']:+.2f} to {last['ci_high']:+.2f})",
    }
