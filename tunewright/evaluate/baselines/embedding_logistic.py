from __future__ import annotations

import time
from functools import partial

from tunewright.core.parts import Baseline, Look
from tunewright.core.score import LabelTask, Predictions
from tunewright.evaluate.fitting import embedded, logistic


class EmbeddingLogistic(Baseline):
    """Logistic regression on a frozen sentence embedding (MiniLM, 384 numbers a text). A small model that was never
    tuned; where it wins, fine-tuning is the wrong tool."""

    def predict(self, task: LabelTask, look: Look) -> Predictions:
        start = time.perf_counter()
        train = embedded(task.train["text"].to_list(), look, remember=True)
        test = partial(embedded, task.test["text"].to_list(), look, remember=False)
        return logistic(task, train, test, look.recipe.evaluate.metric, start)
