"""The same thing said in other words: paraphrases swell one topic and can sit on both sides of a split. They are shown, never
deleted: that two rows mean the same is a guess."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import polars as pl
from pydantic import Field

from tunewright.audit.checks._sample import SPACE_SAMPLE, Model, Space, space_of
from tunewright.audit.checks._shared import excerpt, first_rows
from tunewright.core.parts import Check, Look
from tunewright.text.neardup import normalise

FEWEST = 100  # rows from which on it can be told what all texts have in common
BLOCK = 1_000
LEAST = 0.7  # similarity that is measured, so that the threshold can move


class SemanticDuplicates(Check):
    """Says nearly the same as an earlier row in other words. Looks at a sample; near and exact duplicates are left to their checks."""

    severity: ClassVar[str] = "info"
    scope: ClassVar[Literal["row", "all"]] = "all"
    measured_by: ClassVar[tuple[str, ...]] = ("sample", "model", "near")
    similarity: float = Field(0.85, ge=LEAST, le=1, description="cosine of two rows' vectors from which on they are shown")
    sample: int = Field(SPACE_SAMPLE, ge=2, description="rows compared with each other, at most")
    near: float = Field(0.3, gt=0, le=1, description="pairs that share this part of their word triples are near duplicates instead")
    model: Literal["wordllama", "minilm"] = Field("wordllama", description="static word vectors, or a sentence model (30 rows a second)")

    def measure(self, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        if len(rows) < FEWEST:
            return pl.DataFrame()
        model: Model = self.model
        space = space_of(rows, self.sample, model)
        if len(space.rows) < FEWEST:
            return pl.DataFrame()
        left, right, cosine = nearest_earlier(space, LEAST)
        said = space.said.to_list()
        apart = np.array([jaccard(said[one], said[other]) < self.near for one, other in zip(left, right, strict=True)], dtype=bool)
        left, right = left[apart], right[apart]
        return pl.DataFrame(
            {
                "row_id": space.rows["row_id"].gather(right),
                "related_row_id": space.rows["row_id"].gather(left),
                "text": space.said.gather(right),
                "other": space.said.gather(left),
                "cosine": pl.Series(cosine[apart].astype(np.float64)),
            }
        ).with_columns(looked=pl.lit(len(space.rows)))

    def measure_scan(self, rows: pl.LazyFrame, look: Look) -> pl.DataFrame:
        return self.measure(first_rows(rows, self.sample), look)

    def decide(self, measures: pl.DataFrame, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        if measures.is_empty():
            return pl.DataFrame()
        found = measures.filter(pl.col("cosine") >= self.similarity).sort("cosine", "row_id", descending=[True, False])
        return found.select(
            "row_id",
            "related_row_id",
            evidence=pl.format("{} ≈ {}", excerpt(), excerpt("other")),
            score=pl.col("cosine").clip(0, 1),
            suggested_fix=pl.lit("review"),
        )


def nearest_earlier(space: Space, least: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(earlier row, later row, cosine): the most similar earlier row of each row that has one with a cosine of `least`."""
    seen = space.centred()
    best, cosine = np.zeros(len(seen), np.int64), np.full(len(seen), -1.0, np.float32)
    for start in range(0, len(seen), BLOCK):
        later = seen[start : start + BLOCK]
        alike = later @ seen[: start + len(later)].T
        alike[np.triu_indices(len(later), k=0, m=len(later))[0], start + np.triu_indices(len(later))[1]] = -1
        best[start : start + len(later)] = alike.argmax(axis=1)
        cosine[start : start + len(later)] = alike.max(axis=1)
    later_rows = np.flatnonzero(cosine >= least)
    return best[later_rows], later_rows, cosine[later_rows]


def jaccard(one: str, other: str) -> float:
    """Share of common word triples, as `near_duplicates` counts them."""
    first, second = _triples(one), _triples(other)
    return len(first & second) / max(1, len(first | second))


def _triples(text: str) -> set[tuple[str, ...]]:
    words = normalise(text).split()
    return {tuple(words[place : place + 3]) for place in range(max(1, len(words) - 2))}
