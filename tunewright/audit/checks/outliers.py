"""Rows that are like no other: another topic, another product, a pasted log, a wrong column.

A row's distance is minus the logarithm of the mean cosine with its nearest neighbours among a reference of the sample. Short texts
lie farther from everything than long ones, so a row is compared with rows of its own length: how many robust deviations (of the
upper half of the distances) it lies above their median.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
import polars as pl
from pydantic import Field

from tunewright.audit.checks._sample import SPACE_SAMPLE, best_space
from tunewright.audit.checks._shared import excerpt
from tunewright.core.parts import Check, Look
from tunewright.text.quick import Floats, sample_of

NEIGHBOURS, REFERENCE = 5, 2_000
FEWEST = 100
LENGTHS = 10  # bins of equal size
LEAST = 1.5  # deviations that are measured, so that the threshold can move


class Outliers(Check):
    """Like no other row: another topic, another language, or not text at all. Looks at a sample."""

    severity: ClassVar[str] = "info"
    scope: ClassVar[Literal["row", "all"]] = "all"
    measured_by: ClassVar[tuple[str, ...]] = ("sample",)
    deviations: float = Field(2.5, ge=LEAST, description="robust deviations above the usual distance for texts of the same length")
    related: float = Field(
        0.45, gt=0, le=1, description="a row with this mean cosine to its neighbours is no outlier, however far the rest is"
    )
    most: float = Field(0.02, gt=0, le=1, description="share of the rows shown at most, the farthest first")
    sample: int = Field(SPACE_SAMPLE, ge=1, description="rows looked at, at most")

    def measure(self, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        space = best_space(rows, self.sample)
        if len(space.rows) < FEWEST:
            return pl.DataFrame()
        distance, nearest = neighbours(space.vectors, space.rows)
        far = deviations(distance, space.said.str.count_matches(r"\S+").to_numpy())
        found = np.flatnonzero(far >= LEAST)
        found = found[np.argsort(-far[found], kind="stable")]
        return pl.DataFrame(
            {
                "row_id": space.rows["row_id"].gather(found),
                "related_row_id": space.rows["row_id"].gather(nearest[found]),
                "text": space.said.gather(found),
                "other": space.said.gather(nearest[found]),
                "far": pl.Series(far[found], dtype=pl.Float64),
                "cosine": pl.Series(np.exp(-distance[found]), dtype=pl.Float64),
            }
        ).with_columns(looked=pl.lit(len(space.rows)))

    def decide(self, measures: pl.DataFrame, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        if measures.is_empty():
            return pl.DataFrame()
        found = measures.filter((pl.col("far") >= self.deviations) & (pl.col("cosine") < self.related))
        found = found.head(max(1, int(self.most * measures["looked"][0])))
        near = excerpt("other").str.head(80)
        return found.select(
            "row_id",
            "related_row_id",
            evidence=pl.format("{} (the nearest other row: {})", excerpt(), near),
            score=1 - 1 / pl.col("far"),
            suggested_fix=pl.lit("review"),
        )


def neighbours(vectors: Any, rows: pl.DataFrame) -> tuple[Floats, np.ndarray]:
    """(distance to the nearest rows of a reference, the nearest of them), for each row, itself and exact copies apart."""
    place = pl.DataFrame({"row_id": rows["row_id"], "place": np.arange(len(rows))})
    reference = sample_of(place, REFERENCE)["place"].to_numpy()
    alike = vectors @ vectors[reference].T
    alike[alike > 1 - 1e-5] = -1.0  # itself, or the same words
    alike[reference, np.arange(len(reference))] = -1.0
    nearest = np.partition(alike, -NEIGHBOURS, axis=1)[:, -NEIGHBOURS:].mean(axis=1).astype(np.float64)
    return -np.log(np.maximum(nearest, 0.01)), reference[alike.argmax(axis=1)]


def deviations(distance: Floats, words: Any) -> Floats:
    """How many robust deviations each distance lies above the median of texts with about as many words."""
    order = np.argsort(words, kind="stable")
    out = np.zeros(len(distance))
    for part in np.array_split(order, min(LENGTHS, max(1, len(order) // 250))):
        middle, upper = np.quantile(distance[part], [0.5, 0.75])
        out[part] = (distance[part] - middle) / max(1.4826 * (upper - middle), 1e-6) if upper > middle else 0.0
    return out
