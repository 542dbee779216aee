from __future__ import annotations

from tunewright.core.parts import Baseline, Look
from tunewright.core.score import LabelTask, Predictions
from tunewright.evaluate.fitting import embedded, logistic


class EmbeddingLogistic(Baseline):
    """Logistic regression on a frozen sentence embedding (MiniLM, 384 numbers a text). A small model that was never
    tuned; where it wins, fine-tuning is the wrong tool."""

    def predict(self, task: LabelTask, look: Look) -> Predictions:
        train, test, each = embedded(task, look)
        return logistic(task, train, test, look, each * len(train), each * len(test))
