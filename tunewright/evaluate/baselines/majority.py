from __future__ import annotations

import numpy as np

from tunewright.core.parts import Baseline, Look
from tunewright.core.score import LabelTask, Predictions
from tunewright.evaluate.fitting import encode


class Majority(Baseline):
    """Always the most frequent label of the training rows: what a system scores that never reads the text."""

    def predict(self, task: LabelTask, look: Look) -> Predictions:
        shares = np.bincount(encode(task), minlength=len(task.labels)) / len(task.train)
        rows = len(task.test)
        return Predictions(task.labels, np.full(rows, shares.argmax()), probabilities=np.tile(shares, (rows, 1)))
