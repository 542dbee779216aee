from __future__ import annotations

import numpy as np

from tunewright.core.score import Floats, Predictions
from tunewright.evaluate.evidence import SummedMetric


class Accuracy(SummedMetric):
    """Share of rows answered right. Flagged when a class has half as many rows again as its fair share: then always
    naming that class looks good."""

    def evidence(self, predictions: Predictions) -> Floats | None:
        if predictions.truth is None:
            return None
        right = predictions.truth == predictions.predicted
        return np.column_stack([right, np.ones(len(right))]).astype(np.float64)

    def value(self, sums: Floats) -> Floats:
        return np.asarray(sums[..., 0] / sums[..., 1])

    def remark(self, predictions: Predictions) -> str | None:
        counts = np.bincount(predictions.truth if predictions.truth is not None else [])
        if not len(counts) or counts.max() * len(predictions.labels) < 1.5 * counts.sum():
            return None
        label, share = predictions.labels[int(counts.argmax())], counts.max() / counts.sum()
        return f"accuracy: always answering {label!r} would score {share:.2f} on these rows, so judge by macro_f1."
