from __future__ import annotations

import numpy as np

from tunewright.core.score import Floats, Predictions
from tunewright.evaluate.evidence import SummedMetric, class_evidence, divide


class MacroF1(SummedMetric):
    """Unweighted mean of the F1 of all labels: each class counts the same however rare. A class that is neither
    present nor answered counts as 0, as in scikit-learn with `labels` given."""

    def evidence(self, predictions: Predictions) -> Floats | None:
        return class_evidence(predictions)

    def value(self, sums: Floats) -> Floats:
        hits, truths, answers = np.split(sums, 3, axis=-1)
        return np.asarray(divide(2 * hits, truths + answers).mean(axis=-1))
