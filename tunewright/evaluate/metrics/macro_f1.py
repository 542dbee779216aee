from __future__ import annotations

from tunewright.core.score import Floats, Predictions
from tunewright.evaluate.evidence import SummedMetric, class_evidence, divide


class MacroF1(SummedMetric):
    """Unweighted mean of the F1 of all labels: each class counts the same however rare. A class that is neither
    present nor predicted counts as 0, as in scikit-learn with `labels` given."""

    def evidence(self, predictions: Predictions) -> Floats | None:
        if predictions.truth is None:
            return None
        return class_evidence(predictions.truth, predictions.predicted, len(predictions.labels))

    def value(self, sums: Floats) -> Floats:
        classes = sums.shape[-1] // 3
        hits, both = sums[..., :classes], sums[..., classes : 2 * classes] + sums[..., 2 * classes :]
        mean: Floats = divide(2 * hits, both).mean(axis=-1)
        return mean
