from __future__ import annotations

import time

from tunewright.core.optional import require
from tunewright.core.parts import Baseline, Look
from tunewright.core.score import LabelTask, Predictions
from tunewright.evaluate.fitting import logistic


class TfidfLogistic(Baseline):
    """Logistic regression on TF-IDF of words, word pairs and pieces of 2-4 letters: seconds to fit, often hard to beat.
    Its regularisation is chosen by cross-validation on the training rows for the metric that decides."""

    def predict(self, task: LabelTask, look: Look) -> Predictions:
        text, sparse = (require(name, "audit") for name in ("sklearn.feature_extraction.text", "scipy.sparse"))
        words = text.TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
        pieces = text.TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True)
        clock = [time.perf_counter()]
        train = sparse.hstack([part.fit_transform(task.train["text"].to_list()) for part in (words, pieces)])
        clock.append(time.perf_counter())
        test = sparse.hstack([part.transform(task.test["text"].to_list()) for part in (words, pieces)])
        clock.append(time.perf_counter())
        return logistic(task, train.tocsr(), test.tocsr(), look, clock[1] - clock[0], clock[2] - clock[1])
