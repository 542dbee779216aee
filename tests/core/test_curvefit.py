"""Learning curves: the curve that made the scores comes back, intervals hold what they promise, and a flat curve buys nothing."""

import numpy as np
import pytest

from tunewright.core.curvefit import fit_power_law
from tunewright.core.errors import DataError

SIZES = np.repeat([500, 1000, 2000, 4000, 8000], 3)


def curve(sizes: np.ndarray | float, ceiling: float = 0.9, amount: float = 3.0, rate: float = 0.3) -> np.ndarray:
    return ceiling - amount * np.asarray(sizes, float) ** -rate


def test_scores_on_a_curve_give_that_curve():
    fit = fit_power_law(SIZES, curve(SIZES))
    assert fit.predict(32_000) == pytest.approx(float(curve(32_000)), abs=0.003)


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    rng, held = np.random.default_rng(0), []
    for _ in range(100):
        fit = fit_power_law(SIZES, curve(SIZES) + rng.normal(size=len(SIZES)) * 0.3 / np.sqrt(SIZES))
        gain = fit.gain(8_000, 16_000)
        held.append(gain.low <= curve(16_000) - curve(8_000) <= gain.high)
        assert gain.low <= gain.estimate <= gain.high
    assert 0.88 <= np.mean(held) <= 1.0


def test_a_flat_curve_buys_next_to_nothing():
    scores = 0.7 + np.random.default_rng(1).normal(size=len(SIZES)) * 0.002
    assert fit_power_law(SIZES, scores).gain(8_000, 16_000).high < 0.01


def test_no_curve_rises_above_the_best_possible_score():
    fit = fit_power_law([100, 1_000, 10_000], [0.5, 0.8, 0.99])
    assert fit.interval(1e9)[1] <= 1.0


def test_falling_scores_are_a_flat_curve():
    assert fit_power_law([100, 200, 400], [0.9, 0.8, 0.7]).gain(400, 800).estimate == 0.0


@pytest.mark.parametrize(
    ("sizes", "scores"), [([10, 20], [0.1, 0.2]), ([10, 20, 30], [0.1, float("nan"), 0.3]), ([0, 1, 2], [0.1, 0.2, 0.3])]
)
def test_a_curve_needs_three_sizes_and_finite_scores(sizes: list[float], scores: list[float]):
    with pytest.raises(DataError, match="at 3 different sizes or more"):
        fit_power_law(sizes, scores)
