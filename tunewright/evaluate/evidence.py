"""Metrics as functions of summed evidence, so that one resampling routine serves them all.

A row's evidence for macro-F1 over (negative, positive), answered `positive` when the truth is `negative`:

    hits 0 0 | truths 1 0 | predictions 0 1

Summed over any set of rows it gives that set's score; see `statistics.Sample`.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import numpy as np

from tunewright.core.parts import Metric
from tunewright.core.score import Floats, Ints, Predictions


class SummedMetric(Metric):
    """A number computed from sums of per-row evidence. Only such metrics get intervals and paired tests."""

    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)

    @abstractmethod
    def evidence(self, predictions: Predictions) -> Floats | None:
        """(n, k) float64, or None where these predictions cannot be scored (no probabilities, no truth)."""

    @abstractmethod
    def value(self, sums: Floats) -> Floats:
        """Scores (...) of summed evidence (..., k)."""

    def remark(self, predictions: Predictions) -> str | None:
        """What a reader must know to read this number right, if anything."""
        return None

    def compute(self, predictions: Predictions) -> float | None:
        """The score, or None where it cannot be computed or there are no rows."""
        evidence = self.evidence(predictions)
        if evidence is None or len(evidence) == 0:
            return None
        return float(self.value(evidence.sum(axis=0)))


def divide(above: Floats, below: Floats) -> Floats:
    """above / below, and 0 where `below` is 0."""
    ratio: Floats = np.divide(
        above, below, out=np.zeros(np.broadcast_shapes(above.shape, below.shape)), where=below > 0
    )
    return ratio


def class_evidence(truth: Ints, predicted: Ints, classes: int) -> Floats:
    """(n, 3c): one-hot hits, truths and predictions: all that accuracy, precision, recall and F1 need."""
    rows = np.arange(len(truth))
    evidence = np.zeros((len(truth), 3 * classes))
    evidence[rows, truth] = truth == predicted
    evidence[rows, classes + truth] = 1
    evidence[rows, 2 * classes + predicted] = 1
    return evidence
