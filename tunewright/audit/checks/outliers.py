"""Rows that are like no other: another topic, another product, a pasted log, a wrong column.

A row's distance is minus the logarithm of the mean cosine with its nearest neighbours among a reference of the sample. Short texts
lie farther from everything than long ones, so a row is compared with rows of its own length: how many robust deviations (of the
upper half of the distances) it lies above their median.

Rows of gibberish, markup or code lie close to each other, so the signs themselves are looked at too: how surprising each byte is
after the one before it, given all rows of the sample.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
import polars as pl
from pydantic import Field

from tunewright.audit.checks._sample import SPACE_SAMPLE, best_space
from tunewright.audit.checks._shared import excerpt, first_rows
from tunewright.core.parts import Check, Look
from tunewright.text.quick import Floats, sample_of

NEIGHBOURS, REFERENCE = 5, 2_000
FEWEST = 100
LENGTHS = 10  # bins of equal size
SURPRISE_LETTERS, SURPRISE_LEAST = 300, 20  # bytes of a row that are looked at, and that it must have
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
    signs: float = Field(4, ge=LEAST, description="the same for how unusual its letters and signs are, one after the other")
    most: float = Field(0.02, gt=0, le=1, description="share of the rows shown at most, the farthest first")
    sample: int = Field(SPACE_SAMPLE, ge=1, description="rows looked at, at most")

    def measure(self, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        space = best_space(rows, self.sample)
        if len(space.rows) < FEWEST:
            return pl.DataFrame()
        distance, nearest = neighbours(space.vectors, space.rows)
        far = deviations(distance, space.said.str.count_matches(r"\S+").to_numpy())
        odd = unusual_signs(space.said)
        found = np.flatnonzero((far >= LEAST) | (odd >= LEAST))
        return pl.DataFrame(
            {
                "row_id": space.rows["row_id"].gather(found),
                "related_row_id": space.rows["row_id"].gather(nearest[found]),
                "text": space.said.gather(found),
                "other": space.said.gather(nearest[found]),
                "far": pl.Series(far[found], dtype=pl.Float64),
                "odd": pl.Series(odd[found], dtype=pl.Float64),
                "cosine": pl.Series(np.exp(-distance[found]), dtype=pl.Float64),
            }
        ).with_columns(looked=pl.lit(len(space.rows)))

    def measure_scan(self, rows: pl.LazyFrame, look: Look) -> pl.DataFrame:
        return self.measure(first_rows(rows, self.sample), look)

    def decide(self, measures: pl.DataFrame, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        if measures.is_empty():
            return pl.DataFrame()
        away = pl.when(pl.col("cosine") < self.related).then(pl.col("far") / self.deviations).otherwise(0.0)
        found = measures.with_columns(times=pl.max_horizontal(away, pl.col("odd") / self.signs), signs=pl.col("odd") / self.signs > away)
        found = (
            found.filter(pl.col("times") >= 1)
            .sort("times", descending=True, maintain_order=True)
            .head(max(1, int(self.most * measures["looked"][0])))
        )
        near = pl.format("the nearest other row: {}", excerpt("other").str.head(80))
        why = pl.when("signs").then(pl.lit("letters and signs as in no other row")).otherwise(near)
        return found.select(
            "row_id",
            "related_row_id",
            evidence=pl.format("{} ({})", excerpt(), why),
            score=1 - 1 / pl.max_horizontal("far", "odd"),
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


def unusual_signs(said: pl.Series) -> Floats:
    """How many robust deviations the mean surprise of a byte after the byte before it lies above that of texts of about this length."""
    texts = [text.lower().encode()[:SURPRISE_LETTERS] for text in said]
    sizes = np.array([len(text) for text in texts])
    row = np.repeat(np.arange(len(texts)), sizes)
    signs = np.frombuffer(b"".join(texts), np.uint8).astype(np.int64)
    inside = row[1:] == row[:-1]
    pairs, row = (signs[:-1] * 256 + signs[1:])[inside], row[1:][inside]
    often = np.bincount(pairs, minlength=256 * 256)
    surprise = np.log(np.repeat(often.reshape(256, 256).sum(axis=1), 256) + 1.0) - np.log(often + 1.0)
    mean = np.bincount(row, surprise[pairs], len(texts)) / np.maximum(sizes - 1, 1)
    return np.where(sizes >= SURPRISE_LEAST, deviations(mean, sizes), 0.0)
