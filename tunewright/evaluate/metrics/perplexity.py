from __future__ import annotations

import math

import numpy as np

from tunewright.core.score import Floats, Predictions
from tunewright.evaluate.evidence import SummedMetric


class Perplexity(SummedMetric):
    """Answer perplexity: exp(nats / tokens) over the true answers with their end token, the prompt not counted. It falls
    for nearly every tuned model, also for those that answer worse, so it never decides."""

    higher_is_better = None
    bounds = (1.0, math.inf)

    def evidence(self, predictions: Predictions) -> Floats | None:
        nats, tokens, truth = predictions.answer_nll, predictions.answer_tokens, predictions.truth
        if nats is None or tokens is None or truth is None:
            return None
        rows = np.arange(len(truth))
        return np.column_stack([nats[rows, truth], tokens[rows, truth]]).astype(np.float64)

    def value(self, sums: Floats) -> Floats:
        return np.asarray(np.exp(sums[..., 0] / sums[..., 1]))
