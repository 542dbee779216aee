"""Labels that a model trained on the other rows does not believe, by confident learning (Northcutt et al. 2021).

The probabilities are out of sample: each row is judged by a model that saw neither it, nor a near duplicate of it, nor a row of
its group. A row is suspected when another class is at least as probable as it usually is for rows of that class. Suspects are
ranked for a person to look at; nothing is ever dropped for them.

The share shown has a fixed bound and does not follow the number of suspects, which is an estimate of noise only where the
classifier is good: of 3,000 short reviews with 5% of the labels flipped a third are suspects. There one in four or five of the
first 150 is flipped, and one in seven of the first 450 (benchmarks/detectors.py; cleanlab's order is as good).
"""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import polars as pl
from pydantic import Field

from tunewright.audit.checks._sample import QUICK_FOLDS, QUICK_SAMPLE, quick_of, quick_rows, vectors
from tunewright.audit.checks._shared import excerpt
from tunewright.core.parts import Check, Look
from tunewright.text.quick import Floats, Ints, out_of_sample


class LabelNoise(Check):
    """A label that the other rows speak against; worth a second look, never dropped."""

    severity: ClassVar[str] = "info"
    needs: ClassVar[tuple[str, ...]] = ("label",)
    scope: ClassVar[Literal["row", "all"]] = "all"
    measured_by: ClassVar[tuple[str, ...]] = ("features", "folds", "sample")
    features: Literal["words", "wordllama", "minilm"] = Field("words", description="what the classifier sees; a sentence model is slow")
    folds: int = Field(QUICK_FOLDS, ge=2, description="parts for cross-validation")
    most: float = Field(
        0.05,
        gt=0,
        le=1,
        description="share of the rows shown at most, the most doubtful first: people read them, and each further one is less often wrong",
    )
    sample: int = Field(QUICK_SAMPLE, ge=1, description="rows looked at, at most; fewer when there are over 40 classes")

    def measure(self, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        quick = quick_of(rows, look, self.sample, self.folds)
        if quick is None:
            return pl.DataFrame()
        believed, given = quick.believed, quick.given
        if self.features != "words":
            seen = vectors(quick.rows["text"], self.features)
            believed = out_of_sample(seen, given, len(quick.labels), quick.groups, self.folds)
        suspect, meant = doubts(given, believed)
        own = believed[np.arange(len(given)), given]
        ranked = suspect[np.argsort(own[suspect], kind="stable")]
        return quick.rows[ranked].select(
            "row_id",
            "label",
            looks=pl.Series([quick.labels[one] for one in meant[ranked]], dtype=pl.String),
            believed=pl.Series(believed[ranked, meant[ranked]], dtype=pl.Float64),
            own=pl.Series(own[ranked], dtype=pl.Float64),
            excerpt=excerpt(),
            looked=pl.lit(len(given)),
        )

    def measure_scan(self, rows: pl.LazyFrame, look: Look) -> pl.DataFrame:
        return self.measure(quick_rows(rows, self.sample), look)

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


def doubts(given: Ints, believed: Floats) -> tuple[Ints, Ints]:
    """(rows whose label is doubted, the label that each row looks like): the off-diagonal of the confident joint."""
    classes = range(believed.shape[1])
    usual = np.array([believed[given == one, one].mean() if (given == one).any() else 1.0 for one in classes])
    confident = np.where(believed >= usual - 1e-6, believed, -1.0)
    meant = confident.argmax(axis=1)
    return np.flatnonzero((confident.max(axis=1) >= 0) & (meant != given)), meant
