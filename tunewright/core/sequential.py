"""Tests that may be looked at at any time: confidence sequences, whose limits hold at every moment at once.

An ordinary 95% interval that is looked at after every request is wrong far more often than once in twenty looks. A confidence
sequence is not: the chance that it *ever* leaves out the truth is at most alpha, however often one looks and whenever one stops.

    share(12, 400, alpha=.05)                   # (.011, .067): 12 of 400 requests failed
    difference((4, 900), (31, 300), alpha=.05)  # (low, high) of the second share less the first
    more_often(14, 3)                           # p that may be watched: is one side of discordant pairs more frequent?

The mixture martingale of Robbins (1970, doi:10.1214/aoms/1177696786) for Bernoulli trials: with a Beta(1/2, 1/2) mixture,
M_n(p) = B(s + 1/2, n - s + 1/2) / (B(1/2, 1/2) p^s (1 - p)^(n - s)) is a martingale at the true p, so by Ville's inequality
it exceeds 1/alpha with probability at most alpha; the sequence holds every p with M_n(p) < 1/alpha (see also Howard et al. 2021,
doi:10.1214/20-AOS1991). Two arms share alpha, so any allocation of requests to them is allowed.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tunewright.core.optional import require
from tunewright.core.score import Floats

Counts = tuple[float, float]  # (successes, trials)


def _special() -> Any:
    return require("scipy.special", "audit")


def log_martingale(successes: Any, trials: Any, p: Any) -> Any:
    """log M_n(p) of Bernoulli trials under the Beta(1/2, 1/2) mixture; arrays of one shape."""
    special = _special()
    failures = trials - successes
    mixed = special.betaln(successes + 0.5, failures + 0.5) - special.betaln(0.5, 0.5)
    return mixed - special.xlogy(successes, p) - special.xlog1py(failures, -np.asarray(p, dtype=np.float64))


def shares(successes: Any, trials: Any, alpha: float) -> tuple[Floats, Floats]:
    """Limits of a Bernoulli share at any moment, for arrays of counts; (0, 1) without trials."""
    successes, trials = np.broadcast_arrays(np.asarray(successes, dtype=np.float64), np.asarray(trials, dtype=np.float64))
    middle = np.divide(successes, trials, out=np.full(trials.shape, 0.5), where=trials > 0)
    bound = np.log(1 / alpha)

    def edge(outside: float) -> Floats:
        out, inside = np.full(trials.shape, outside), middle.copy()
        for _ in range(48):
            half = (out + inside) / 2
            holds = log_martingale(successes, trials, half) < bound
            inside, out = np.where(holds, half, inside), np.where(holds, out, half)
        return np.where(log_martingale(successes, trials, np.full(trials.shape, outside)) < bound, outside, out)

    return edge(0.0), edge(1.0)


def share(successes: float, trials: float, alpha: float) -> tuple[float, float]:
    """Limits of one share, at any moment."""
    low, high = shares(successes, trials, alpha)
    return float(low), float(high)


def differences(first: Any, of_first: Any, second: Any, of_second: Any, alpha: float) -> tuple[Floats, Floats]:
    """Limits of (share of the second arm - share of the first), at any moment, for arrays of counts; alpha is shared between the arms."""
    first_low, first_high = shares(first, of_first, alpha / 2)
    second_low, second_high = shares(second, of_second, alpha / 2)
    return second_low - first_high, second_high - first_low


def difference(first: Counts, second: Counts, alpha: float) -> tuple[float, float]:
    """Limits of (share of `second` - share of `first`), each (successes, trials), at any moment."""
    low, high = differences(*first, *second, alpha)
    return float(low), float(high)


def more_often(one: int, other: int) -> float:
    """p, valid at any moment, that `one` is no more than half of `one + other`: the smallest alpha at which the sequence lies above 1/2."""
    trials = one + other
    if trials == 0 or one <= other:
        return 1.0
    return float(min(1.0, np.exp(-log_martingale(float(one), float(trials), 0.5))))
