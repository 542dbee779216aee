"""Learning curves: what a score would be with more rows, and what the next rows would buy, each with an interval.

    fit = fit_power_law([500, 500, 1000, 1000, 2000, 2000], [.61, .63, .66, .67, .70, .69])
    fit.predict(4_000)            # .72
    fit.interval(4_000)           # (.70, .74)
    fit.gain(2_000, 3_000)        # Gain(estimate=.012, low=.003, high=.021)

The curve is `score(n) = ceiling - amount * n^-rate` with `amount >= 0`, the form that learning curves of many tasks follow
(Hestness et al. 2017, arXiv:1712.00409; Viering & Loog 2021, arXiv:2103.10948). Intervals come from refitting resampled curves:
each draw perturbs every training by a residual of the fit, widened for the three numbers that the fit has learnt from the data,
so few sizes and scattered scores give wide intervals. They know nothing of a curve that changes its form beyond the last size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tunewright.core.errors import DataError
from tunewright.core.score import Floats

RATES = np.geomspace(0.05, 2.0, 60)
LEARNT = 3  # numbers that a fit takes from the data


@dataclass(frozen=True)
class Gain:
    """How much the score rises, with the limits of its interval."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class Fit:
    """`score(n) = ceiling - amount * n^-rate`, and the same three numbers for each resampled curve, (draws, 3)."""

    ceiling: float
    amount: float
    rate: float
    draws: Floats

    def predict(self, size: float) -> float:
        """The score at `size` rows."""
        return float(_curve(self._own, size)[0])

    def interval(self, size: float, confidence: float = 0.95) -> tuple[float, float]:
        """Limits of the curve (the mean over trainings, not of a single one) at `size` rows."""
        return _limits(_curve(self.draws, size), self.predict(size), confidence)

    def gain(self, start: float, end: float, confidence: float = 0.95) -> Gain:
        """What `end` rows score above `start` rows."""
        estimate = self.predict(end) - self.predict(start)
        return Gain(estimate, *_limits(_curve(self.draws, end) - _curve(self.draws, start), estimate, confidence))

    @property
    def _own(self) -> Floats:
        return np.array([[self.ceiling, self.amount, self.rate]])


def fit_power_law(
    sizes: Sequence[float],
    scores: Sequence[float],
    repeats: int = 500,
    *,
    best: float = 1.0,
    seed: int = 0,
    resampled: Floats | None = None,
) -> Fit:
    """Fit one curve through all trainings: `scores[i]` was reached with `sizes[i]` rows, and a size may be there many times.

    `repeats` resampled curves give the intervals; no curve rises above `best`. `resampled` (repeats, trainings) are the same
    scores on resampled test rows: then the luck of the test, which all sizes share, is in the intervals too. Raises DataError for fewer than three different
    sizes or a score that is not finite.
    """
    x, y = np.asarray(sizes, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    different = len(np.unique(x))
    if x.shape != y.shape or different < LEARNT or not (np.isfinite(y).all() and (x > 0).all()):
        raise DataError(
            f"a learning curve needs finite scores at {LEARNT} different sizes or more, but got {len(y)} scores at {different} sizes."
        )
    weights = x / x.sum()  # a score's variance falls as its training grows
    own = _fit(x, y[None], weights, best)
    residuals = (y - _curve(own, x[:, None])) * np.sqrt(weights)
    freedom = max(1, len(y) - LEARNT)
    residuals *= np.sqrt(len(y) / freedom) * (1 + 1.2 / freedom)  # the second factor: t against normal quantiles
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], size=(repeats, len(y)))
    shuffled = np.random.default_rng(seed + 1).choice(residuals, size=(repeats, len(y)))
    luck = 0.0 if resampled is None else resampled - y
    draws = _fit(x, _curve(own, x[:, None]) + signs * shuffled / np.sqrt(weights) + luck, weights, best)
    ceiling, amount, rate = own[0].tolist()
    return Fit(ceiling, amount, rate, draws)


def _curve(curves: Floats, size: float | Floats) -> Floats:
    """Scores of `curves` (n, 3) at `size`: (n,), or (m,) of one curve at sizes (m, 1)."""
    with np.errstate(over="ignore"):
        return np.asarray(curves[:, 0] - curves[:, 1] * np.power(size, -curves[:, 2])).reshape(-1)


def _fit(x: Floats, scores: Floats, weights: Floats, best: float) -> Floats:
    """(ceiling, amount, rate) of each line of `scores` (n, trainings): for every rate the other two by weighted least squares
    inside their limits, then the rate with the smallest error."""
    falling = x[None, :] ** -RATES[:, None]  # (rates, trainings)
    mean_x, mean_y = falling @ weights, scores @ weights
    spread = (falling**2) @ weights - mean_x**2
    amount = np.maximum(0.0, mean_x * mean_y[:, None] - (scores * weights) @ falling.T) / np.maximum(spread, 1e-300)
    ceiling = mean_y[:, None] + amount * mean_x
    over = ceiling > best
    forced = np.maximum(0.0, (best - scores) * weights @ falling.T) / np.maximum((falling**2) @ weights, 1e-300)
    amount, ceiling = np.where(over, forced, amount), np.where(over, best, ceiling)
    guesses = ceiling[..., None] - amount[..., None] * falling[None]
    errors = ((scores[:, None] - guesses) ** 2) @ weights
    chosen = errors.argmin(axis=1)
    rows = np.arange(len(scores))
    return np.column_stack([ceiling[rows, chosen], amount[rows, chosen], RATES[chosen]])


def _limits(draws: Floats, estimate: float, confidence: float) -> tuple[float, float]:
    """Percentile limits that hold the estimate."""
    low, high = np.quantile(draws, [(1 - confidence) / 2, (1 + confidence) / 2])
    return min(float(low), estimate), max(float(high), estimate)
