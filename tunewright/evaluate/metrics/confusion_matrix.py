from __future__ import annotations

import numpy as np

from tunewright.core.parts import Metric
from tunewright.core.score import Predictions


class ConfusionMatrix(Metric):
    """Rows counted by truth (first index) and answer (second index), both in the order of the labels."""

    higher_is_better = None

    def compute(self, predictions: Predictions) -> list[list[int]] | None:
        if predictions.truth is None:
            return None
        classes = len(predictions.labels)
        cells = np.bincount(predictions.truth * classes + predictions.predicted, minlength=classes**2)
        counts: list[list[int]] = cells.reshape(classes, classes).tolist()
        return counts
