"""Scores and verdicts: the nouns of evaluation, and the two scores that several stages need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class LabelTask:
    """What a classifier gets: `train` rows with labels, `test` rows without, `labels` in a fixed order."""

    train: pl.DataFrame
    test: pl.DataFrame
    labels: list[str]


@dataclass(frozen=True)
class Predictions:
    """Answers to n rows over c labels.

    `truth` and `predicted` are (n,) indices into `labels` (`truth` is None where unknown); `probabilities` is (n, c) or None.
    Language models also give `answer_nll` and `answer_tokens`, (n, c): nats and tokens of each label as the answer, end
    token included; and `uncalibrated`, (n,): what they answered before their label prior was taken out.
    """

    labels: list[str]
    predicted: Ints
    truth: Ints | None = None
    probabilities: Floats | None = None
    answer_nll: Floats | None = None
    answer_tokens: Ints | None = None
    uncalibrated: Ints | None = None
    fit_seconds: float = 0.0
    predict_seconds: float = 0.0


@dataclass(frozen=True)
class Gate:
    """One condition of shipping. `passed` is None when the test cannot tell."""

    name: str
    passed: bool | None
    value: Any
    threshold: Any
    text: str


@dataclass(frozen=True)
class Verdict:
    """SHIP, DON'T SHIP or INCONCLUSIVE, with the numbers; written to `evaluate/verdict.json` as it is."""

    verdict: str
    metric: str
    baseline: str
    candidate: str
    difference: float
    relative_gain: float | None
    ci_low: float
    ci_high: float
    p_value: float
    n: int
    minimum_detectable_difference: float
    test_openings: int
    gates: list[Gate]


def accuracy(truth: npt.ArrayLike, predicted: npt.ArrayLike) -> float:
    """Share of equal entries of two (n,) arrays; NaN for n = 0."""
    same = np.asarray(truth) == np.asarray(predicted)
    return float(np.mean(same)) if same.size else float("nan")


def macro_f1(truth: npt.ArrayLike, predicted: npt.ArrayLike, classes: int) -> float:
    """Unweighted mean of the F1 of `classes` classes; a class neither present nor predicted counts as 0, as in scikit-learn."""
    confusion = np.zeros((classes, classes))
    np.add.at(confusion, (np.asarray(truth), np.asarray(predicted)), 1)
    right = np.diag(confusion)
    total = confusion.sum(0) + confusion.sum(1)
    return float(np.mean(np.divide(2 * right, total, out=np.zeros(classes), where=total > 0)))
