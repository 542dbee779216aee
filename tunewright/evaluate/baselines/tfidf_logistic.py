from __future__ import annotations

import time

from tunewright.core.optional import require
from tunewright.core.parts import Baseline, Look
from tunewright.core.score import LabelTask, Predictions
from tunewright.evaluate.fitting import logistic


class TfidfLogistic(Baseline):
    """Logistic regression on TF-IDF of words, word pairs and 2-4 letter pieces: seconds to fit, often hard to beat.

    Its regularisation is chosen by cross-validation on the training rows for the metric that decides."""

    def predict(self, task: LabelTask, look: Look) -> Predictions:
        start = time.perf_counter()
        vectoriser = require("sklearn.feature_extraction.text", "audit").TfidfVectorizer
        sparse = require("scipy.sparse", "audit")
        parts = [
            vectoriser(ngram_range=(1, 2), sublinear_tf=True),
            vectoriser(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True),
        ]
        train = sparse.hstack([part.fit_transform(task.train["text"].to_list()) for part in parts]).tocsr()

        def features() -> object:
            return sparse.hstack([part.transform(task.test["text"].to_list()) for part in parts]).tocsr()

        return logistic(task, train, features, look.recipe.evaluate.metric, start)
