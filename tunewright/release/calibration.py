"""Temperature scaling: one number that turns likelihoods of labels into probabilities that mean what they say (Guo et al. 2017,
arXiv 1706.04599). It never changes which label is likeliest, so what was tested stays what is served.

    {"temperature": 1.34, "temperature_interval": [1.18, 1.55], "prior": null, "labels": ["negative", "neutral", "positive"],
     "ece_before": 0.081, "ece_after": 0.034, "ece_if_perfect": 0.029, "nll_before": 0.71, "nll_after": 0.66, "rows": 400,
     "groups": 43, "bins": 15, "note": "..."}

What is told as "after" comes from rows that the temperature was not fitted on (five folds, rows that belong together in one), and
beside it stands what a perfectly calibrated model would show on so few rows: the expected calibration error is never 0 by chance.
A temperature that does not help on held-out rows, or that too few rows speak for, is not used: then it is 1.

`probabilities` is what serving and monitoring use: softmax((log-likelihood - prior) / temperature). A release has no prior (null),
because the verdict was reached without one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tunewright.core.score import Floats, Ints

MIN_ROWS = 50
FOLDS, RESAMPLES = 5, 200
RANGE = (0.05, 20.0)  # of temperatures
ROWS_A_BIN, MOST_BINS = 20, 15
SHRINK = (5**0.5 - 1) / 2


def probabilities(log_likelihood: Floats, calibration: Mapping[str, Any]) -> Floats:
    """Calibrated probabilities (n, c) of labels from their log-likelihoods (n, c)."""
    prior = np.zeros(log_likelihood.shape[1]) if calibration["prior"] is None else np.asarray(calibration["prior"])
    return _softmax((log_likelihood - prior) / calibration["temperature"])


def calibrate(log_likelihood: Floats, truth: Ints, groups: Sequence[str], labels: Sequence[str], seed: int = 17) -> dict[str, Any]:
    """Fit the temperature on rows with `truth` (indices of labels); rows of one group are held out together."""
    rows, kinds = len(truth), len(set(groups))
    before = _softmax(log_likelihood)
    common: dict[str, Any] = {"prior": None, "labels": list(labels), "rows": rows, "groups": kinds, "bins": _bins(rows)}
    common |= {"ece_before": ece(before, truth), "nll_before": _nll(log_likelihood, truth, 1.0)}
    if rows < MIN_ROWS or kinds < FOLDS:
        words = f"{rows} rows in {kinds} groups are too few to fit a temperature (it takes {MIN_ROWS} in {FOLDS}): likelihoods are used as they are."
        return _unchanged(common, before, words, seed)
    fold = _folds(groups, seed)
    held_out = np.empty_like(log_likelihood)
    for number in range(FOLDS):
        temperature = fit_temperature(log_likelihood[fold != number], truth[fold != number])
        held_out[fold == number] = log_likelihood[fold == number] / temperature
    nll = _nll(held_out, truth, 1.0)
    temperature, interval = fit_temperature(log_likelihood, truth), _interval(log_likelihood, truth, groups, seed)
    if nll >= common["nll_before"]:
        words = f"A temperature of {temperature:.2f} fits these rows but does not help on rows held out: likelihoods are used as they are."
        return _unchanged(common, before, words, seed) | {"temperature_interval": interval}
    after = _softmax(held_out)
    found = {"temperature": temperature, "temperature_interval": interval, "ece_after": ece(after, truth), "nll_after": nll}
    words = f"Fitted on {rows} validation rows in {kinds} groups; the figures after it are of rows held out in {FOLDS} folds."
    return found | common | {"ece_if_perfect": _ece_if_perfect(after, seed), "note": words}


def ece(shares: Floats, truth: Ints) -> float:
    """Expected calibration error of the answers' confidence, over bins that hold equally many rows."""
    confidence, right = shares.max(axis=1), shares.argmax(axis=1) == truth
    order = np.argsort(confidence, kind="stable")
    parts = np.array_split(order, _bins(len(order)))
    return float(sum(abs(right[part].mean() - confidence[part].mean()) * len(part) for part in parts if len(part)) / max(len(order), 1))


def fit_temperature(log_likelihood: Floats, truth: Ints) -> float:
    """The temperature with the least negative log-likelihood of the truth, by golden section (it has one minimum)."""
    low, high = np.log(RANGE[0]), np.log(RANGE[1])
    while high - low > 1e-4:
        left, right = high - SHRINK * (high - low), low + SHRINK * (high - low)
        if _nll(log_likelihood, truth, float(np.exp(left))) < _nll(log_likelihood, truth, float(np.exp(right))):
            high = right
        else:
            low = left
    return float(np.exp((low + high) / 2))


def _unchanged(common: dict[str, Any], before: Floats, words: str, seed: int) -> dict[str, Any]:
    same = {"temperature": 1.0, "temperature_interval": None, "ece_after": common["ece_before"], "nll_after": common["nll_before"]}
    return same | common | {"ece_if_perfect": _ece_if_perfect(before, seed), "note": words}


def _interval(log_likelihood: Floats, truth: Ints, groups: Sequence[str], seed: int) -> list[float]:
    """95% interval of the temperature, resampling groups."""
    random, members = np.random.default_rng(seed), _members(groups)
    found = []
    for _ in range(RESAMPLES):
        rows = np.concatenate([members[pick] for pick in random.integers(0, len(members), len(members))])
        found.append(fit_temperature(log_likelihood[rows], truth[rows]))
    return [float(one) for one in np.quantile(found, (0.025, 0.975))]


def _members(groups: Sequence[str]) -> list[Ints]:
    names, place = np.unique(np.asarray(groups), return_inverse=True)
    return [np.flatnonzero(place == number) for number in range(len(names))]


def _folds(groups: Sequence[str], seed: int) -> Ints:
    """The fold of each row: groups at random, each to the fold with the fewest rows so far."""
    fold, sizes, members = np.zeros(len(groups), dtype=np.int64), np.zeros(FOLDS), _members(groups)
    order = np.random.default_rng(seed).permutation(len(members))
    for number in sorted(order, key=lambda one: -len(members[one])):
        smallest = int(sizes.argmin())
        fold[members[number]] = smallest
        sizes[smallest] += len(members[number])
    return fold


def _ece_if_perfect(shares: Floats, seed: int) -> float:
    """What `ece` shows on average when every confidence is exactly right, with as many rows."""
    random, confidence = np.random.default_rng(seed), np.sort(shares.max(axis=1))
    right = random.random((RESAMPLES, len(confidence))) < confidence
    gaps = [
        np.abs(part.mean(axis=1) - sure.mean()) * len(sure)
        for part, sure in zip(
            np.array_split(right, _bins(len(confidence)), axis=1), np.array_split(confidence, _bins(len(confidence))), strict=True
        )
        if len(sure)
    ]
    return float(np.mean(np.sum(gaps, axis=0)) / max(len(confidence), 1)) if gaps else 0.0


def _bins(rows: int) -> int:
    return max(1, min(MOST_BINS, rows // ROWS_A_BIN))


def _nll(log_likelihood: Floats, truth: Ints, temperature: float) -> float:
    scaled = log_likelihood / temperature
    top = scaled.max(axis=1, keepdims=True)
    norm = top[:, 0] + np.log(np.exp(scaled - top).sum(axis=1))
    return float(np.mean(norm - scaled[np.arange(len(truth)), truth])) if len(truth) else 0.0


def _softmax(scores: Floats) -> Floats:
    odds = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(odds / odds.sum(axis=1, keepdims=True), dtype=np.float64)
