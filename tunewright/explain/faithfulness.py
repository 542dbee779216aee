"""Does the explanation name words that matter? The deletion curve of Samek et al. 2017 (doi 10.1109/TNNLS.2016.2599820).

Drop the 1, 2, ... words that the explanation calls most important; drop as many at random; compare the answer's log-odds
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


def deletion_curve(weights: list[list[float]], odds: Odds, most: int, orders: int, seed: int = 17) -> dict[str, Any]:
    """Mean change of the log-odds after dropping 1..`most` words, by importance and in `orders` random orders.

    `weights[i]` are row i's words; `odds([(row, dropped words), ...])` scores rows without those words. A row counts at k
    only if it has more than k words. The interval is Student's t over rows of the paired difference.
    """
    random = np.random.default_rng(seed)
    jobs: list[tuple[int, int, bool]] = []
    asked: list[tuple[int, Sequence[int]]] = [(row, ()) for row in range(len(weights))]
    for row, own in enumerate(weights):
        ranked = sorted(range(len(own)), key=lambda place: -own[place])
        shuffled = [random.permutation(len(own)).tolist() for _ in range(orders)]
        for k in range(1, min(most, len(own) - 1) + 1):
            for order in (ranked, *shuffled):
                jobs.append((row, k, order is ranked))
                asked.append((row, order[:k]))
    found = np.asarray(odds(asked), dtype=np.float64)
    whole = found[: len(weights)]
    changes: dict[tuple[int, bool], dict[int, list[float]]] = {}
    for (row, k, by_importance), value in zip(jobs, found[len(weights) :], strict=True):
        changes.setdefault((k, by_importance), {}).setdefault(row, []).append(float(value - whole[row]))
    points = [_point(k, changes[k, True], changes[k, False]) for k in range(1, most + 1) if (k, True) in changes]
    zero = dict.fromkeys(("dropped", "by_importance", "random", "difference", "ci_low", "ci_high"), 0)
    return {"rows": len(weights), "orders": orders, "curve": [zero | {"rows": len(weights)}, *points], **_said(points)}


def _point(k: int, ours: dict[int, list[float]], chance: dict[int, list[float]]) -> dict[str, Any]:
    gaps = [fmean(ours[row]) - fmean(chance[row]) for row in ours]
    low, high = t_interval(gaps)
    return {
        "dropped": k,
        "rows": len(gaps),
        "by_importance": fmean(fmean(one) for one in ours.values()),
        "random": fmean(fmean(one) for one in chance.values()),
        "difference": fmean(gaps),
        "ci_low": low,
        "ci_high": high,
    }


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
        None: "cannot tell whether the words matter",
    }
    return {
        "faithful": faithful,
        "text": f"{word[faithful]}: dropping {last['dropped']} of them changes the log-odds by {last['by_importance']:+.2f}, dropping"
        f" {last['dropped']} at random by {last['random']:+.2f} (95% interval of the difference {last['ci_low']:+.2f} to {last['ci_high']:+.2f})",
    }
