from __future__ import annotations

import numpy as np

from tunewright.core.score import Floats, Predictions
from tunewright.evaluate.evidence import SummedMetric


class Accuracy(SummedMetric):
    """Share of rows answered right. Flagged when one class has at least half as many rows again as its fair share:
    then always naming that class already looks good."""

    def evidence(self, predictions: Predictions) -> Floats | None:
        if predictions.truth is None:
            return None
        right = predictions.truth == predictions.predicted
        return np.column_stack([right, np.ones(len(right))]).astype(np.float64)

    def value(self, sums: Floats) -> Floats:
        share: Floats = sums[..., 0] / sums[..., 1]
        return share

    def remark(self, predictions: Predictions) -> str | None:
        if predictions.truth is None or len(predictions.truth) == 0:
            return None
        counts = np.bincount(predictions.truth, minlength=len(predictions.labels))
        share = counts.max() / counts.sum()
        if share * len(counts) < 1.5:
            return None
        label = predictions.labels[int(counts.argmax())]
        return (
            f"{share:.0%} of the rows are {label!r}, so always answering {label!r} has an accuracy of {share:.2f}:"
            " judge by macro_f1."
        )
