"""Data that changes along its dates: a test drawn at random then flatters a model that will meet tomorrow's rows.

Three things are compared along the column of `data.date`: how well a classifier tells the oldest quarter of the rows from the
newest (AUROC, against shuffled dates: a classifier two-sample test, Lopez-Paz & Oquab 2017, arXiv:1610.06545), the mix of labels
and the length of the texts by quarters.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import polars as pl
from pydantic import Field

from tunewright.audit.checks._groups import OTHERS, column_of, numbered
from tunewright.audit.checks._shared import first_rows, sampled
from tunewright.core.parts import Check, Look

QUARTERS = 4
FEWEST = 200  # dated rows
FOLDS, SHUFFLES, SHOWN = 3, 200, 6
Floats = npt.NDArray[np.float64]


class DateDrift(Check):
    """Rows that change along `data.date`: their words, their labels or their length. Looks at a sample."""

    severity: ClassVar[str] = "warning"
    scope: ClassVar[Literal["row", "all"]] = "all"
    measured_by: ClassVar[tuple[str, ...]] = ("sample",)
    auroc: float = Field(0.65, gt=0.5, le=1, description="how well old and new rows can be told apart by their words; 0.5 is not at all")
    labels: float = Field(0.1, gt=0, le=1, description="change of a label's share between two quarters of the rows")
    length: float = Field(1.3, gt=1, description="ratio of the median lengths of two quarters of the rows")
    p: float = Field(0.01, gt=0, lt=1, description="what luck alone would do less often than this")
    sample: int = Field(8_000, ge=FEWEST, description="rows looked at, at most")

    def measure(self, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        from tunewright.text.moments import moments

        if look.recipe.data.date is None or len(rows) < FEWEST:
            return pl.DataFrame()
        looked = sampled(rows, self.sample)
        moment = moments(looked[column_of(look.recipe.data, look.recipe.data.date, looked.columns)])
        looked = looked.with_columns(__moment=moment).drop_nulls("__moment").filter(pl.col("text").fill_null("") != "")
        if len(looked) < FEWEST or looked["__moment"].n_unique() < QUARTERS:
            return pl.DataFrame()
        looked = looked.sort("__moment", "row_id")
        quarter = np.minimum((looked["__moment"].rank("min").to_numpy() - 1) * QUARTERS // len(looked), QUARTERS - 1).astype(np.int64)
        if len(np.unique(quarter)) < 2 or not (quarter == QUARTERS - 1).any():
            return pl.DataFrame()
        found = [_words(looked, quarter), _lengths(looked, quarter)]
        if "label" in looked.columns:
            found.append(_labels(looked, quarter))
        days = looked.select(pl.col("__moment").dt.date().cast(pl.String))["__moment"]
        spans = [(days.filter(quarter == one).min(), days.filter(quarter == one).max()) for one in (0, QUARTERS - 1)]
        return pl.concat(found, how="diagonal").with_columns(
            old=pl.format("{} to {}", *map(pl.lit, spans[0])), new=pl.format("{} to {}", *map(pl.lit, spans[1])), looked=pl.lit(len(looked))
        )

    def measure_scan(self, rows: pl.LazyFrame, look: Look) -> pl.DataFrame:
        return self.measure(first_rows(rows, self.sample), look)

    def decide(self, measures: pl.DataFrame, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        if measures.is_empty():
            return pl.DataFrame()
        least = pl.col("kind").replace_strict({"words": self.auroc, "labels": self.labels, "length": self.length}, return_dtype=pl.Float64)
        found = measures.filter((pl.col("value") >= least) & (pl.col("p") <= self.p))
        return found.select(
            evidence=pl.format("{}; oldest quarter {}, newest {}, {} rows looked at", "said", "old", "new", "looked"),
            field=pl.lit(look.recipe.data.date),
            score=pl.col("value").clip(0, 1),
            suggested_fix=pl.lit("split by time: train on the old rows, test on the new ones (prepare.split.by: date)"),
        )


def _words(rows: pl.DataFrame, quarter: npt.NDArray[np.int64]) -> pl.DataFrame:
    """How well the oldest and the newest quarter can be told apart, and by which words."""
    from tunewright.text.quick import bag_of_words, out_of_sample, regression

    ends = (quarter == 0) | (quarter == QUARTERS - 1)
    given = (quarter[ends] == QUARTERS - 1).astype(np.intp)
    bag = bag_of_words(rows["text"].filter(pl.Series(ends)), 20_000)
    texts = rows["text"].filter(pl.Series(ends)).str.to_lowercase().rank("dense").to_numpy()  # equal texts are judged together
    score = out_of_sample(bag.matrix, given, 2, texts, FOLDS)[:, 1]
    rng, value = np.random.default_rng(0), auroc(given, score)
    luck = np.array([auroc(rng.permutation(given), score) for _ in range(SHUFFLES)])
    p = (1 + int((luck >= value).sum())) / (1 + SHUFFLES)
    boot = [rng.integers(0, len(given), len(given)) for _ in range(SHUFFLES)]
    low, high = np.quantile([auroc(given[draw], score[draw]) for draw in boot], [0.025, 0.975])
    weights = regression(2).fit(bag.matrix, given).coef_[0]
    order = np.argsort(weights, kind="stable")
    newer, older = (", ".join(bag.words.gather(part[:SHOWN])) for part in (order[::-1], order))
    said = (
        f"old and new rows are told apart by their words with AUROC {value:.2f} ({low:.2f} to {high:.2f}); newer: {newer}; older: {older}"
    )
    return pl.DataFrame({"kind": "words", "value": value, "p": p, "said": said})


def _lengths(rows: pl.DataFrame, quarter: npt.NDArray[np.int64]) -> pl.DataFrame:
    from scipy.stats import kruskal

    words = rows["text"].str.count_matches(r"\S+").to_numpy()
    parts = [words[quarter == one] for one in np.unique(quarter)]
    medians = [float(np.median(part)) for part in parts]
    p = float(kruskal(*parts).pvalue) if len(np.unique(words)) > 1 else 1.0
    said = f"the median length goes {' → '.join(f'{one:.0f}' for one in medians)} words from quarter to quarter of the rows"
    return pl.DataFrame({"kind": "length", "value": max(medians) / max(1.0, min(medians)), "p": p, "said": said})


def _labels(rows: pl.DataFrame, quarter: npt.NDArray[np.int64]) -> pl.DataFrame:
    from tunewright.core.statistics import same_mix

    kinds, names = numbered(rows["label"], 20)
    counts = np.array([np.bincount(kinds[(quarter == one) & (kinds >= 0)], minlength=len(names)) for one in np.unique(quarter)])
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    moves = np.ptp(shares, axis=0)
    most = int(moves.argmax())
    name = names[most] if names[most] != OTHERS else "one of the rarer labels"
    said = f"the share of {name!r} goes {' → '.join(f'{one:.0%}' for one in shares[:, most])} from quarter to quarter of the rows"
    return pl.DataFrame({"kind": "labels", "value": float(moves[most]), "p": same_mix(counts), "said": said})


def auroc(given: Any, score: Floats) -> float:
    """Chance that a row of class 1 scores above one of class 0; ties count half."""
    order = np.argsort(score, kind="stable")
    _, first, counts = np.unique(score[order], return_index=True, return_counts=True)
    ranks = np.empty(len(score))
    ranks[order] = np.repeat(first + (counts + 1) / 2, counts)
    ones = given.sum()
    zeros = len(given) - ones
    return float((ranks[given == 1].sum() - ones * (ones + 1) / 2) / (ones * zeros)) if ones and zeros else 0.5
