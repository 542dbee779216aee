"""What the checks that need a model share: the quick classifier and the vectors of a sample, each made once a frame of rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from tunewright.audit.checks._shared import first_rows, once
from tunewright.core.errors import EnvironmentProblem
from tunewright.core.optional import require
from tunewright.core.parts import Look
from tunewright.core.rows import compared
from tunewright.text.quick import Bag, Quick, bag_of_words, classify, sample_of, sample_size, to_classify
from tunewright.text.repair import empty

QUICK_SAMPLE, QUICK_FOLDS = 15_000, 3
SPACE_SAMPLE = 8_000
LONGEST = 800  # characters that a vector is made from
TOPICS = 64  # dimensions of the vectors without word embeddings
Model = Literal["wordllama", "minilm", "words"]


@dataclass(frozen=True)
class Space:
    """Rows looked at, what was read of each (`said`), and a vector of length 1 for each."""

    rows: pl.DataFrame
    said: pl.Series
    vectors: npt.NDArray[np.float32]

    def centred(self) -> npt.NDArray[np.float32]:
        """Without what all texts have in common (their mean and first direction), so that a cosine is about what they say and not
        about being a text of this kind (Mu & Viswanath 2018, arXiv:1702.01417)."""
        rest = self.vectors - self.vectors.mean(axis=0)
        common = np.linalg.eigh(rest.T @ rest)[1][:, -1:]
        rest = rest - (rest @ common) @ common.T
        return np.asarray(rest / np.maximum(np.linalg.norm(rest, axis=1, keepdims=True), 1e-9), dtype=np.float32)


def quick_of(rows: pl.DataFrame, look: Look, sample: int = QUICK_SAMPLE, folds: int = QUICK_FOLDS) -> Quick | None:
    """The quick classifier's opinion of a sample of `rows`; None when there is too little to learn from."""
    data, threshold = look.recipe.data, look.recipe.prepare.near_duplicate_threshold

    def make(rows: pl.DataFrame) -> Quick | None:
        from tunewright.text.groups import leak_groups

        looked = to_classify(rows, sample)
        if looked["label"].n_unique() < 2 or len(looked) < 10 * folds:
            return None
        return classify(looked, leak_groups(looked, data, threshold), bag_of_words(looked["text"]), folds)

    return once(rows, f"quick {sample} {folds} {data.groups} {threshold}", make)


def quick_rows(rows: pl.LazyFrame, sample: int = QUICK_SAMPLE) -> pl.DataFrame:
    """The rows that the quick classifier looks at, of rows that do not fit in memory."""
    classes = once(rows, "classes", lambda rows: int(rows.select(pl.col("label").n_unique()).collect(engine="streaming").item()))
    return first_rows(rows, sample_size(sample, classes))


def space_of(rows: pl.DataFrame, sample: int = SPACE_SAMPLE, model: Model = "wordllama") -> Space:
    """Vectors of a sample of `rows`. Raises EnvironmentProblem when the library that `model` needs is missing."""
    return once(rows, f"space {sample} {model}", lambda rows: _space(rows, sample, model))


def best_space(rows: pl.DataFrame, sample: int = SPACE_SAMPLE) -> Space:
    """Vectors that know which words mean alike, or those of the words themselves where the extra `embeddings` is missing."""
    try:
        return space_of(rows, sample)
    except EnvironmentProblem:
        return space_of(rows, sample, "words")


def _space(rows: pl.DataFrame, sample: int, model: Model) -> Space:
    chosen = sample_of(rows, sample)
    said = compared(chosen).fill_null("")
    full = ~said.to_frame("said").select(empty(pl.col("said"))).to_series()
    chosen, said = chosen.filter(full), said.filter(full).str.head(LONGEST)
    return Space(chosen, said, vectors(said, model))


def vectors(texts: pl.Series, model: Model) -> npt.NDArray[np.float32]:
    """Unit vectors of `texts`."""
    if model == "minilm":
        from tunewright.models.embed import embed

        return embed(texts.to_list())
    if model == "wordllama":
        from tunewright.models.static import static_vectors

        return static_vectors(texts.to_list())
    return topics(bag_of_words(texts))


def topics(bag: Bag) -> npt.NDArray[np.float32]:
    """Latent topics of a TF-IDF matrix (Deerwester et al. 1990), as unit vectors."""
    most = min(TOPICS, min(bag.matrix.shape) - 1)
    if most < 1:
        return np.zeros((bag.matrix.shape[0], 1), np.float32)
    found = require("sklearn.decomposition", "audit").TruncatedSVD(most, n_iter=2, random_state=0).fit_transform(bag.matrix)
    return np.asarray(found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9), dtype=np.float32)
