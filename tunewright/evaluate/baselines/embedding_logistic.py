from __future__ import annotations

import time

from tunewright.core.parts import Baseline, Look
from tunewright.core.score import LabelTask, Predictions
from tunewright.evaluate.fitting import logistic


class EmbeddingLogistic(Baseline):
    """Logistic regression on a frozen sentence embedding (MiniLM, 384 numbers a text). A small model that was never
    tuned; where it wins, fine-tuning is the wrong tool."""

    def predict(self, task: LabelTask, look: Look) -> Predictions:
        from tunewright.models.embed import embed

        start = time.perf_counter()
        train = embed(task.train["text"].to_list(), look.report)
        return logistic(
            task, train, lambda: embed(task.test["text"].to_list(), look.report), look.recipe.evaluate.metric, start
        )
