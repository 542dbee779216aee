"""What several baselines share: labels as numbers, and a logistic regression tuned without looking at the test rows."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from tunewright.core.errors import DataError
from tunewright.core.optional import require
from tunewright.core.score import Ints, LabelTask, Predictions

STRENGTHS = [0.1, 0.3, 1.0, 3.0, 10.0, 30.0]  # inverse regularisation
FOLDS = 3


def encode(task: LabelTask) -> Ints:
    """Training labels as indices into `task.labels`, (n,). Raises DataError for a label outside of them."""
    place = {label: index for index, label in enumerate(task.labels)}
    unknown = sorted(set(task.train["label"]) - set(place))
    if unknown or task.train.is_empty():
        raise DataError(f"training rows need labels out of {task.labels}, but got {unknown or 'no rows'}.")
    return np.array([place[label] for label in task.train["label"]], dtype=np.int64)


def logistic(
    task: LabelTask, train: Any, test: Callable[[], Any], metric: str, start: float, seed: int = 0
) -> Predictions:
    """Fit on `train` (n, features), answer `test()` (m, features); the timer ran since `start` (perf_counter).

    The strength is chosen by cross-validation that keeps groups together, for `metric`; with macro_f1 classes weigh
    the same. With one class, or fewer groups of a class than folds, there is nothing to choose: one class, or 1.0.
    """
    linear = require("sklearn.linear_model", "audit")
    known = encode(task)
    groups = task.train["group"].to_numpy() if "group" in task.train.columns else np.arange(len(known))
    classes, smallest = np.unique(known, return_counts=True)
    balance = "balanced" if metric == "macro_f1" else None
    columns = np.zeros((len(task.test), len(task.labels)))
    settings = {"class_weight": balance, "max_iter": 1_000}
    model = None
    spread = min(len(np.unique(groups[known == one])) for one in classes)
    if len(classes) > 1 and min(spread, smallest.min()) >= FOLDS:
        folds = require("sklearn.model_selection", "audit").StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
        model = linear.LogisticRegressionCV(
            Cs=STRENGTHS,
            cv=list(folds.split(known, known, groups)),
            scoring="f1_macro" if metric == "macro_f1" else "accuracy",
            l1_ratios=(0.0,),
            use_legacy_attributes=False,
            **settings,
        )
    elif len(classes) > 1:
        model = linear.LogisticRegression(C=1.0, **settings)
    if model is not None:
        model.fit(train, known)
    middle = time.perf_counter()
    columns[:, classes] = 1.0 if model is None else model.predict_proba(test())
    end = time.perf_counter()
    return Predictions(
        task.labels,
        columns.argmax(axis=1),
        probabilities=columns,
        fit_seconds=middle - start,
        predict_seconds=end - middle,
    )
