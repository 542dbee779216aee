from __future__ import annotations

from typing import Any

from tunewright.core.parts import Metric
from tunewright.core.score import Predictions
from tunewright.evaluate.evidence import class_evidence, divide


class PerClass(Metric):
    """Precision, recall and F1 of each label, with its number of rows (support)."""

    higher_is_better = None

    def compute(self, predictions: Predictions) -> list[dict[str, Any]] | None:
        evidence = class_evidence(predictions)
        if evidence is None:
            return None
        hits, truths, answers = evidence.sum(axis=0).reshape(3, -1)
        columns = {
            "label": predictions.labels,
            "precision": divide(hits, answers).tolist(),
            "recall": divide(hits, truths).tolist(),
            "f1": divide(2 * hits, truths + answers).tolist(),
            "support": truths.astype(int).tolist(),
        }
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
