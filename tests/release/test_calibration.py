"""Temperature scaling finds the temperature that was put in, helps on rows it has not seen, and knows when rows are too few."""

from __future__ import annotations

import numpy as np
import pytest

from tunewright.release.calibration import calibrate, ece, fit_temperature, probabilities

LABELS = ["a", "b", "c"]


def made(rows: int, temperature: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Scores whose softmax at `temperature` is exactly the chance of each label."""
    random = np.random.default_rng(seed)
    true = random.normal(0, 1.5, (rows, 3))
    shares = np.exp(true) / np.exp(true).sum(axis=1, keepdims=True)
    truth = np.array([random.choice(3, p=row) for row in shares])
    return true * temperature, truth, [f"g{number // 2}" for number in range(rows)]


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_it_finds_the_temperature_that_was_put_in(temperature: float) -> None:
    scores, truth, groups = made(4000, temperature)
    assert fit_temperature(scores, truth) == pytest.approx(temperature, rel=0.08)
    told = calibrate(scores[:400], truth[:400], groups[:400], LABELS)
    low, high = told["temperature_interval"]
    assert low < temperature < high


def test_an_overconfident_model_is_mended_and_the_answers_stay() -> None:
    scores, truth, groups = made(400, 3.0)
    told = calibrate(scores, truth, groups, LABELS)
    assert told["ece_before"] > 0.15
    assert told["ece_after"] < told["ece_before"] / 2
    assert told["ece_after"] < 3 * told["ece_if_perfect"]
    assert told["nll_after"] < told["nll_before"]
    assert (told["rows"], told["groups"], told["bins"], told["prior"]) == (400, 200, 15, None)
    shares = probabilities(scores, told)
    assert (shares.argmax(axis=1) == scores.argmax(axis=1)).all()
    assert shares.sum(axis=1) == pytest.approx(1)


def test_what_helps_only_on_the_rows_it_was_fitted_on_is_not_used() -> None:
    used = [calibrate(*made(60, 1.0, seed), LABELS) for seed in range(12)]
    assert any(told["temperature"] == 1.0 and "does not help" in told["note"] for told in used)
    assert all(told["nll_after"] <= told["nll_before"] for told in used)


def test_too_few_rows_leave_likelihoods_as_they_are() -> None:
    for rows, groups in ((20, None), (200, ["one"] * 200)):
        scores, truth, made_groups = made(rows, 3.0)
        told = calibrate(scores, truth, groups or made_groups, LABELS)
        assert told["temperature"] == 1.0
        assert "too few" in told["note"]
        assert told["ece_after"] == told["ece_before"]


def test_a_prior_is_taken_out_before_the_temperature() -> None:
    scores = np.array([[0.0, -1.0]])
    shares = probabilities(scores, {"temperature": 2.0, "prior": [0.0, -1.0]})
    assert shares == pytest.approx(np.array([[0.5, 0.5]]))


def test_the_calibration_error_is_the_gap_between_confidence_and_accuracy() -> None:
    shares = np.array([[0.9, 0.1]] * 10)
    assert ece(shares, np.array([0] * 9 + [1])) == pytest.approx(0.0)
    assert ece(shares, np.array([0] * 5 + [1] * 5)) == pytest.approx(0.4)
    assert ece(np.array([[0.9, 0.1]] * 20 + [[0.6, 0.4]] * 20), np.array([0] * 18 + [1] * 2 + [0] * 20)) == pytest.approx(0.2)
