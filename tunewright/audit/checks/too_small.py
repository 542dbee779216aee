"""Is there enough data? Asked of the data, not of a rule of thumb: a quick classifier learns from growing parts of the rows, and a
power law through its scores says what doubling them, or the next 1,000, would bring.

A language model needs fewer rows than this classifier for the same score, so this curve is a bound for the impatient;
`tunewright learning-curve` trains the model itself.
"""

from __future__ import annotations

import warnings
from typing import Any, ClassVar, Literal

import numpy as np
import polars as pl
from pydantic import Field

from tunewright.audit.checks._sample import QUICK_FOLDS, QUICK_SAMPLE, quick_of
from tunewright.core.curvefit import fit_power_law
from tunewright.core.optional import require
from tunewright.core.parts import Check, Look
from tunewright.core.score import macro_f1

SHARES = (0.1, 0.25, 0.5, 1.0)  # of the rows to learn from
REPEATS = 3
MOST = 4_000  # rows that one training may have
MORE = 1_000


class TooSmall(Check):
    """More rows would help a simple classifier much. Measured by its learning curve."""

    severity: ClassVar[str] = "warning"
    needs: ClassVar[tuple[str, ...]] = ("label",)
    scope: ClassVar[Literal["row", "all"]] = "all"
    measured_by: ClassVar[tuple[str, ...]] = ("enough",)
    gain: float = Field(0.01, gt=0, lt=1, description="macro-F1 that doubling the rows must bring, by the low end of the interval")
    warn: float = Field(0.025, gt=0, lt=1, description="and from which on it is a warning")
    enough: int = Field(QUICK_SAMPLE, ge=1_000, description="with more rows than this nothing is measured")

    def measure(self, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        if len(rows) > self.enough or (quick := quick_of(rows, look, QUICK_SAMPLE, QUICK_FOLDS)) is None:
            return pl.DataFrame()
        sizes, scores = learning_curve(quick.bag.matrix, quick.given, quick.groups, len(quick.labels))
        return pl.DataFrame({"size": sizes, "score": scores}).with_columns(rows=pl.lit(len(quick.rows)))

    def measure_scan(self, rows: pl.LazyFrame, look: Look) -> pl.DataFrame:
        total = int(rows.select(pl.len()).collect().item())
        return pl.DataFrame() if total > self.enough else self.measure(rows.collect(), look)

    def decide(self, measures: pl.DataFrame, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        if measures.is_empty() or measures["size"].n_unique() < 3:
            return pl.DataFrame()
        fit = fit_power_law(measures["size"].to_list(), measures["score"].to_list())
        have = int(measures["rows"][0])
        double, more = fit.gain(have, 2 * have), fit.gain(have, have + MORE)
        said = (
            f"a quick classifier reaches macro-F1 {fit.predict(have):.2f} with {have:,} rows; the next {MORE:,} rows would buy about "
            f"{more.estimate:+.3f} ({more.low:+.3f} to {more.high:+.3f}), twice as many rows {double.estimate:+.3f} ({double.low:+.3f} to {double.high:+.3f})"
        )
        if double.low < self.gain:
            return pl.DataFrame()
        severity = self.severity if double.low >= self.warn else "info"
        return pl.DataFrame(
            {"evidence": said, "score": min(1.0, double.estimate), "severity": severity, "suggested_fix": "collect or label more rows"}
        )


def learning_curve(features: Any, given: Any, groups: Any, classes: int) -> tuple[list[int], list[float]]:
    """(rows learnt from, macro-F1 on rows of other groups) for growing parts of the rows, several times each."""
    from tunewright.text.quick import regression

    sizes: list[int] = []
    scores: list[float] = []
    numbers = np.unique(groups)
    with warnings.catch_warnings(), require("threadpoolctl", "audit").threadpool_limits(1):
        warnings.simplefilter("ignore")
        for repeat in range(REPEATS):
            rng = np.random.default_rng(repeat)
            test = np.isin(groups, rng.permutation(numbers)[: max(1, len(numbers) // 4)])
            pool = rng.permutation(np.flatnonzero(~test))[:MOST]
            for share in SHARES:
                part = pool[: int(share * len(pool))]
                present = np.unique(given[part])
                if len(present) < 2 or not test.any():
                    continue
                fitted = regression(len(present)).fit(features[part], given[part])
                sizes.append(len(part))
                scores.append(macro_f1(given[test], fitted.predict(features[test]), classes))
    return sizes, _without_luck(sizes, scores)


def _without_luck(sizes: list[int], scores: list[float]) -> list[float]:
    """Scores with what each repeat's test rows have in common taken out: some test rows are easier than others."""
    if len(sizes) != REPEATS * len(SHARES):
        return scores
    table = np.reshape(scores, (REPEATS, len(SHARES)))
    even: list[float] = (table - table.mean(axis=1, keepdims=True) + table.mean()).ravel().tolist()
    return even
