"""Labels that a model trained on the other rows does not believe, by confident learning (Northcutt et al. 2021).

The probabilities are out of sample: each row is judged by a model that saw neither it, nor a near duplicate of it, nor a row of
its group. A row is suspected when another class is at least as probable as it usually is for rows of that class. Suspects are
ranked for a person to look at; nothing is ever dropped for them.
"""

from __future__ import annotations

import warnings
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import polars as pl
from pydantic import Field

from tunewright.audit.checks._shared import excerpt
from tunewright.core.optional import require
from tunewright.core.parts import Check, Look
from tunewright.text.neardup import normalise
from tunewright.text.repair import empty

MOST_WORK = 1_000_000  # rows times classes: about half a minute
Ints = npt.NDArray[np.intp]
Floats = npt.NDArray[np.float64]


class LabelNoise(Check):
    """A label that the other rows speak against; worth a second look, never dropped."""

    severity: ClassVar[str] = "info"
    needs: ClassVar[tuple[str, ...]] = ("label",)
    scope: ClassVar[Literal["row", "all"]] = "all"
    measured_by: ClassVar[tuple[str, ...]] = ("features", "folds", "sample")
    features: Literal["words", "embedding"] = Field("words", description="TF-IDF of words, or a sentence model (slow)")
    folds: int = Field(5, ge=2, description="parts for cross-validation")
    most: float = Field(0.05, gt=0, le=1, description="share of the rows shown at most, the most doubtful first")
    sample: int = Field(20_000, ge=1, description="rows looked at, at most; fewer when there are over 50 classes")

    def measure(self, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        from tunewright.text.groups import leak_groups

        rows = rows.filter(~empty(pl.col("text")))
        most = MOST_WORK // max(1, rows["label"].n_unique())
        rows = rows.sample(min(self.sample, len(rows), most), seed=0)
        labels, given = np.unique(rows["label"].to_numpy(), return_inverse=True)
        if len(labels) < 2 or len(rows) < 10 * self.folds:
            return pl.DataFrame()
        groups = leak_groups(rows, look.recipe.data, look.recipe.prepare.near_duplicate_threshold)
        believed = out_of_sample(self._features(rows["text"].to_list()), given, len(labels), groups, self.folds)
        suspect, meant = doubts(given, believed)
        own = believed[np.arange(len(rows)), given]
        ranked = suspect[np.argsort(own[suspect], kind="stable")]
        return rows[ranked].select(
            "row_id",
            "label",
            looks=pl.Series(labels[meant[ranked]].astype(str), dtype=pl.String),
            believed=pl.Series(believed[ranked, meant[ranked]], dtype=pl.Float64),
            own=pl.Series(own[ranked], dtype=pl.Float64),
            excerpt=excerpt(),
            looked=pl.lit(len(rows)),
        )

    def decide(self, measures: pl.DataFrame, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        if measures.is_empty():
            return pl.DataFrame()
        most = max(1, int(self.most * measures["looked"][0]))
        percent = [(100 * pl.col(name)).round().cast(pl.Int64) for name in ("believed", "own")]
        return measures.head(most).select(
            "row_id",
            evidence=pl.format("labelled {}, looks {} ({}% against {}%): {}", "label", "looks", *percent, "excerpt"),
            score=1 - pl.col("own"),
            field=pl.lit("label"),
            suggested_fix=pl.lit("review"),
        )

    def _features(self, texts: list[str]) -> Any:
        if self.features == "embedding":
            from tunewright.models.embed import embed

            return embed(texts)
        vectorizer = require("sklearn.feature_extraction.text", "audit").TfidfVectorizer
        words = {"preprocessor": normalise, "token_pattern": r"\w+|[^\w\s]+", "ngram_range": (1, 2)}
        return vectorizer(**words, sublinear_tf=True, max_features=50_000).fit_transform(texts)


def out_of_sample(features: Any, given: Ints, classes: int, groups: Any, folds: int) -> Floats:
    """(n, classes) probabilities from logistic regression; no row is judged by a model that saw its group, and a row that
    no model can judge (a single group, a single class) is believed as it is given."""
    believed = np.asarray(np.eye(classes)[given], dtype=np.float64)
    folds = min(folds, len(np.unique(groups)))
    if folds < 2:
        return believed
    folder = require("sklearn.model_selection", "audit").StratifiedGroupKFold(folds, shuffle=True, random_state=0)
    regression = require("sklearn.linear_model", "audit").LogisticRegression
    threads = require("threadpoolctl", "audit").threadpool_limits
    with warnings.catch_warnings(), threads(1):  # two threads that share busy cores cost 80 times more here
        warnings.simplefilter("ignore")  # a class smaller than the number of folds is too_few_rows' business
        for train, test in folder.split(features, given, groups):
            present = np.unique(given[train])
            if len(present) > 1 and len(test):
                fitted = regression(C=3.0, solver="newton-cg").fit(features[train], given[train])
                believed[test] = 0.0
                believed[np.ix_(test, present)] = fitted.predict_proba(features[test])
    return believed


def doubts(given: Ints, believed: Floats) -> tuple[Ints, Ints]:
    """(rows whose label is doubted, the label that each row looks like): the off-diagonal of the confident joint."""
    classes = range(believed.shape[1])
    usual = np.array([believed[given == one, one].mean() if (given == one).any() else 1.0 for one in classes])
    confident = np.where(believed >= usual - 1e-6, believed, -1.0)
    meant = confident.argmax(axis=1)
    return np.flatnonzero((confident.max(axis=1) >= 0) & (meant != given)), meant
