"""Tests that may be looked at at any time: confidence sequences, whose limits hold at every moment at once.

An ordinary 95% interval that is looked at after every request is wrong far more often than once in twenty looks. A confidence
sequence is not: the chance that it *ever* leaves out the truth is at most alpha, however often one looks and whenever one stops.

    share(12, 400, alpha=.05)                   # (.011, .067): 12 of 400 requests failed
    difference((4, 900), (31, 300), alpha=.05)  # (low, high) of the second share less the first
    more_often(14, 3)                           # p that may be watched: is one side of discordant pairs more frequent?

The mixture martingale of Robbins (1970, doi:10.1214/aoms/1177696786) for Bernoulli trials: with a Beta(1/2, 1/2) mixture,
M_n(p) = B(s + 1/2, n - s + 1/2) / (B(1/2, 1/2) p^s (1 - p)^(n - s)) is a martingale at the true p, so by Ville's inequality
it exceeds 1/alpha with probability at most alpha; the sequence holds every p with M_n(p) < 1/alpha (see also Howard et al. 2021,
doi:10.1214/20-AOS1991).

Two arms: whatever decides who gets the next request, M(p) of the first arm, M(q) of the second, their product and the mean of these
three are martingales at the true p and q. The sequence for q - p holds every d at which the mean is below 1/alpha for some p. The
product makes two arms with middling shares need about two thirds of the requests of two sequences that must not overlap; the single ones keep
rare outcomes, where the other arm tells nothing, about as fast as those.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tunewright.core.optional import require
from tunewright.core.score import Floats

Counts = tuple[float, float]  # (successes, trials)
EDGE = 1e-12  # shares are looked for this far from 0 and 1
LOG2 = float(np.log(2))


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


def against(apart: Any, first: Any, of_first: Any, second: Any, of_second: Any) -> Floats:
    """Evidence against "the second arm's share is the first's plus `apart`", for arrays of one shape: the smallest logarithm, over all p,
    of the mean martingale. At log(1 / alpha) it is refuted, at any moment."""
    given = (np.asarray(one, dtype=np.float64) for one in (apart, first, of_first, second, of_second))
    shift, wins, trials, own, of_own = np.broadcast_arrays(*given)
    mixed, own_mixed = log_martingale(wins, trials, 0.5), log_martingale(own, of_own, 0.5)  # what does not hang on p, apart from log 2
    losses, own_losses = trials - wins, of_own - own

    def evidence(p: Floats) -> Floats:
        p, q = np.clip(p, EDGE, 1 - EDGE), np.clip(p + shift, EDGE, 1 - EDGE)  # shares of 0 and 1 but for rounding
        one = mixed - trials * LOG2 - wins * np.log(p) - losses * np.log1p(-p)
        other = own_mixed - of_own * LOG2 - own * np.log(q) - own_losses * np.log1p(-q)
        return np.asarray(np.logaddexp(np.logaddexp(one, other), one + other) - np.log(3))

    low, high = np.maximum(0.0, -shift), np.minimum(1.0, 1.0 - shift)
    for _ in range(36):  # convex in p, so thirds are cut off
        third = (high - low) / 3
        falls = evidence(low + third) > evidence(high - third)
        low, high = np.where(falls, low + third, low), np.where(falls, high, high - third)
    return evidence((low + high) / 2)


def difference(first: Counts, second: Counts, alpha: float) -> tuple[float, float]:
    """Limits of (share of `second` - share of `first`), each (successes, trials), at any moment; (-1, 1) while an arm has no trials."""
    if not first[1] or not second[1]:
        return -1.0, 1.0
    seen, bound = second[0] / second[1] - first[0] / first[1], np.log(1 / alpha)

    def edge(out: float) -> float:
        inside = seen
        for _ in range(4):  # each makes the gap 32 times smaller
            places = np.linspace(inside, out, 33)
            held = np.flatnonzero(against(places, *first, *second) < bound)
            last = int(held[-1]) if len(held) else 0
            if last == 32:
                return out
            inside, out = float(places[last]), float(places[last + 1])
        return out

    return edge(-1.0), edge(1.0)


def more_often(one: int, other: int) -> float:
    """p, valid at any moment, that `one` is no more than half of `one + other`: the smallest alpha at which the sequence lies above 1/2."""
    trials = one + other
    if trials == 0 or one <= other:
        return 1.0
    return float(min(1.0, np.exp(-log_martingale(float(one), float(trials), 0.5))))
