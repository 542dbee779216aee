from __future__ import annotations

import math
from typing import ClassVar

import numpy as np

from tunewright.core.score import Floats, Predictions
from tunewright.evaluate.evidence import SummedMetric


class Perplexity(SummedMetric):
    """Answer perplexity: exp(nats / tokens) over the true answers with their end token, the prompt not counted.

    It falls for nearly every tuned model, also for those that answer worse, so it never decides anything here."""

    higher_is_better = None
    bounds: ClassVar[tuple[float, float]] = (1.0, math.inf)

    def evidence(self, predictions: Predictions) -> Floats | None:
        if predictions.answer_nll is None or predictions.answer_tokens is None or predictions.truth is None:
            return None
        rows = np.arange(len(predictions.truth))
        nats, tokens = (
            predictions.answer_nll[rows, predictions.truth],
            predictions.answer_tokens[rows, predictions.truth],
        )
        return np.column_stack([nats, tokens]).astype(np.float64)

    def value(self, sums: Floats) -> Floats:
        perplexity: Floats = np.exp(sums[..., 0] / sums[..., 1])
        return perplexity
