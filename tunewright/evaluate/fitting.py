"""What several baselines share: labels as numbers, embeddings with an honest time, and a logistic regression tuned without
looking at the test rows."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from tunewright.core.errors import DataError
from tunewright.core.optional import require
from tunewright.core.parts import Look
from tunewright.core.score import Floats, Ints, LabelTask, Predictions, accuracy, macro_f1

STRENGTHS = [0.1, 0.3, 1.0, 3.0, 10.0, 30.0]  # inverse regularisation
FOLDS = 3
TIMED = 32  # rows


def encode(task: LabelTask) -> Ints:
    """Training labels as indices into `task.labels`, (n,). Raises DataError for a label outside of them."""
    unknown = sorted(set(task.train["label"]) - set(task.labels))
    if unknown or task.train.is_empty():
        raise DataError(f"training rows need labels out of {task.labels}, but got {unknown or 'no rows'}.")
    return np.array([task.labels.index(label) for label in task.train["label"]], dtype=np.int64)


def embedded(task: LabelTask, look: Look) -> tuple[Floats, Floats, float]:
    """MiniLM vectors of train (n, 384) and test (m, 384) rows, and the seconds that one text takes: vectors may come from
    a cache, so the time is measured on a few test rows without it."""
    from tunewright.models.embed import embed

    texts, some = [*task.train["text"], *task.test["text"]], task.test["text"].head(TIMED).to_list()
    with look.report.task("embedding", len(texts)) as shown:
        vectors = embed(texts, task=shown).astype(np.float64)
        start = time.perf_counter()
        embed(some, remember=False)
    seconds = (time.perf_counter() - start) / max(1, len(some))
    return vectors[: len(task.train)], vectors[len(task.train) :], seconds


def logistic(task: LabelTask, train: Any, test: Any, look: Look, fit: float, predict: float) -> Predictions:
    """Fit on `train` (n, features), answer `test` (m, features), whose making took `fit` and `predict` seconds.

    The strength is chosen by cross-validation that keeps groups together, for the metric that decides; for macro_f1
    classes weigh the same. A label in fewer groups than folds leaves nothing to choose from: strength 1. One label alone is the answer.
    """
    start, linear, known = time.perf_counter(), require("sklearn.linear_model", "audit"), encode(task)
    groups = task.train["group"].to_numpy() if "group" in task.train.columns else np.arange(len(known))
    metric = look.recipe.evaluate.metric
    classes, columns = np.unique(known), np.zeros((len(task.test), len(task.labels)))
    settings: dict[str, Any] = {"class_weight": "balanced" if metric == "macro_f1" else None, "max_iter": 1_000}

    def quality(fitted: Any, features: Any, truth: Ints) -> float:
        found = fitted.predict(features)
        return macro_f1(truth, found, len(task.labels)) if metric == "macro_f1" else accuracy(truth, found)

    if min(len(np.unique(groups[known == one])) for one in classes) >= FOLDS:
        folds = require("sklearn.model_selection", "audit").StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)
        chosen = {"cv": list(folds.split(known, known, groups)), "l1_ratios": (0.0,), "use_legacy_attributes": False}
        model = linear.LogisticRegressionCV(Cs=STRENGTHS, scoring=quality, **chosen, **settings)
    else:
        model = linear.LogisticRegression(**settings)
    if len(classes) > 1:
        with look.report.task("logistic regression"):
            model.fit(train, known)
    middle = time.perf_counter()
    columns[:, classes] = model.predict_proba(test) if len(classes) > 1 else 1.0
    fit, predict = fit + middle - start, predict + time.perf_counter() - middle
    return Predictions(task.labels, columns.argmax(axis=1), probabilities=columns, fit_seconds=fit, predict_seconds=predict)
