from __future__ import annotations

from typing import Any

from tunewright.core.parts import Metric
from tunewright.core.score import Predictions
from tunewright.evaluate.evidence import class_evidence, divide


class PerClass(Metric):
    """Precision, recall and F1 of each label, with its number of rows (support) and of answers."""

    def compute(self, predictions: Predictions) -> list[dict[str, Any]] | None:
        if predictions.truth is None:
            return None
        classes = len(predictions.labels)
        sums = class_evidence(predictions.truth, predictions.predicted, classes).sum(axis=0).reshape(3, classes)
        hits, truths, answers = sums
        columns = zip(
            predictions.labels,
            divide(hits, answers),
            divide(hits, truths),
            divide(2 * hits, truths + answers),
            truths,
            answers,
            strict=True,
        )
        return [
            {
                "label": label,
                "precision": float(precision),
                "recall": float(recall),
                "f1": float(f1),
                "support": int(support),
                "predicted": int(predicted),
            }
            for label, precision, recall, f1, support, predicted in columns
        ]
