"""What several baselines share: labels as numbers, and a logistic regression tuned without looking at the test rows."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tunewright.core.errors import DataError
from tunewright.core.optional import require
from tunewright.core.parts import Look
from tunewright.core.score import Ints, LabelTask, Predictions

STRENGTHS = [0.1, 0.3, 1.0, 3.0, 10.0, 30.0]  # inverse regularisation
FOLDS = 3


def encode(task: LabelTask) -> Ints:
    """Training labels as indices into `task.labels`, (n,). Raises DataError for a label outside of them."""
    unknown = sorted(set(task.train["label"]) - set(task.labels))
    if unknown or task.train.is_empty():
        raise DataError(f"training rows need labels out of {task.labels}, but got {unknown or 'no rows'}.")
    return np.array([task.labels.index(label) for label in task.train["label"]], dtype=np.int64)


def embedded(texts: Sequence[str], look: Look, remember: bool) -> Any:
    """Sentence embeddings (n, 384) with a bar; test rows are not remembered, so that their time is true."""
    from tunewright.models.embed import embed

    with look.report.task("embedding", len(texts)) as bar:
        return embed(texts, task=bar, remember=remember)


def logistic(task: LabelTask, train: Any, test: Callable[[], Any], metric: str, start: float) -> Predictions:
    """Fit on `train` (n, features), answer `test()` (m, features); the clock (perf_counter) runs since `start`.

    The strength is chosen by cross-validation that keeps groups together, for `metric`; for macro_f1 classes weigh the
    same. A label in fewer groups than folds leaves nothing to choose from: strength 1. One label alone is the answer.
    """
    linear, known = require("sklearn.linear_model", "audit"), encode(task)
    groups = task.train["group"].to_numpy() if "group" in task.train.columns else np.arange(len(known))
    classes, columns = np.unique(known), np.zeros((len(task.test), len(task.labels)))
    settings: dict[str, Any] = {"class_weight": "balanced" if metric == "macro_f1" else None, "max_iter": 1_000}
    if min(len(np.unique(groups[known == one])) for one in classes) >= FOLDS:
        folds = require("sklearn.model_selection", "audit").StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)
        chosen = {"cv": list(folds.split(known, known, groups)), "l1_ratios": (0.0,), "use_legacy_attributes": False}
        scoring = "f1_macro" if metric == "macro_f1" else "accuracy"
        model = linear.LogisticRegressionCV(Cs=STRENGTHS, scoring=scoring, **chosen, **settings)
    else:
        model = linear.LogisticRegression(**settings)
    if len(classes) > 1:
        model.fit(train, known)
    middle = time.perf_counter()
    columns[:, classes] = model.predict_proba(test()) if len(classes) > 1 else 1.0
    return Predictions(
        task.labels,
        columns.argmax(axis=1),
        probabilities=columns,
        fit_seconds=middle - start,
        predict_seconds=time.perf_counter() - middle,
    )
