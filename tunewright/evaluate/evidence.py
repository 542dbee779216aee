"""Metrics as functions of summed evidence, so that one resampling routine serves them all.

A row's evidence for macro-F1 over (negative, positive), answered `positive` where the truth is `negative`:

    hits 0 0 | truths 1 0 | answers 0 1

Summed over any set of rows it gives that set's score (`statistics.Sample`).
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import numpy as np

from tunewright.core.parts import Metric
from tunewright.core.score import Floats, Predictions


class SummedMetric(Metric):
    """A number computed from sums of per-row evidence. Only such metrics get intervals and paired tests."""

    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)

    @abstractmethod
    def evidence(self, predictions: Predictions) -> Floats | None:
        """(n, k), or None where these predictions cannot be scored (no truth, no likelihoods)."""

    @abstractmethod
    def value(self, sums: Floats) -> Floats:
        """Scores (...) of summed evidence (..., k)."""

    def remark(self, predictions: Predictions) -> str | None:
        """What a reader must know to read this number right, if anything."""
        return None

    def compute(self, predictions: Predictions) -> float | None:
        """The score, or None where it cannot be computed or there are no rows."""
        evidence = self.evidence(predictions)
        return float(self.value(evidence.sum(axis=0))) if evidence is not None and len(evidence) else None


def divide(above: Floats, below: Floats) -> Floats:
    """above / below, and 0 where `below` is 0."""
    return np.divide(above, below, out=np.zeros_like(above, dtype=np.float64), where=below > 0)


def class_evidence(predictions: Predictions) -> Floats | None:
    """(n, 3c): one-hot hits, truths and answers, all that accuracy, precision, recall and F1 need."""
    truth, classes = predictions.truth, len(predictions.labels)
    if truth is None:
        return None
    one_hot = np.eye(classes)
    truths, answers = one_hot[truth], one_hot[predictions.predicted]
    return np.concatenate([truths * answers, truths, answers], axis=1)
