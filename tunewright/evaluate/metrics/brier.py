from __future__ import annotations

import numpy as np

from tunewright.core.score import Floats, Predictions
from tunewright.evaluate.evidence import SummedMetric


class Brier(SummedMetric):
    """Mean squared distance between the probabilities and the truth, summed over labels: 0 is perfect, 2 worst
    (Brier 1950). Honest about both calibration and sharpness."""

    higher_is_better = False
    bounds = (0.0, 2.0)

    def evidence(self, predictions: Predictions) -> Floats | None:
        if predictions.truth is None or predictions.probabilities is None:
            return None
        wanted = np.eye(len(predictions.labels))[predictions.truth]
        error = np.sum((predictions.probabilities - wanted) ** 2, axis=1)
        return np.column_stack([error, np.ones(len(error))])

    def value(self, sums: Floats) -> Floats:
        mean: Floats = sums[..., 0] / sums[..., 1]
        return mean
