from __future__ import annotations

import numpy as np
from pydantic import Field

from tunewright.core.score import Floats, Predictions
from tunewright.evaluate.evidence import SummedMetric


class CalibrationError(SummedMetric):
    """Expected calibration error: how far confidence is from accuracy, averaged over bins of confidence by their rows
    (Naeini et al. 2015; Guo et al. 2017, arXiv 1706.04599). 0 means that answers given at 80% are right 80% of the
    time. Biased upwards on few rows."""

    higher_is_better = False
    bins: int = Field(10, ge=2, le=100, description="bins of equal width between 0 and 1")

    def evidence(self, predictions: Predictions) -> Floats | None:
        if predictions.truth is None or predictions.probabilities is None:
            return None
        rows = np.arange(len(predictions.truth))
        confidence = predictions.probabilities[rows, predictions.predicted]
        bin_of = np.minimum((confidence * self.bins).astype(np.int64), self.bins - 1)
        evidence = np.zeros((len(rows), 2 * self.bins))
        evidence[rows, bin_of] = confidence - (predictions.truth == predictions.predicted)
        evidence[rows, self.bins + bin_of] = 1
        return evidence

    def value(self, sums: Floats) -> Floats:
        error: Floats = np.abs(sums[..., : self.bins]).sum(axis=-1) / sums[..., self.bins :].sum(axis=-1)
        return error
