"""Rows that cover the others: k-centre greedy (Gonzalez 1985; Sener & Savarese 2018) on sentence vectors.

Each next row is the one farthest from all that are chosen, so no corner of the data is left out; the largest distance of any row to
a chosen one is at most twice the best possible. Work grows with rows times rows kept, so large sets are cut by chance into blocks.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from tunewright.core.errors import EnvironmentProblem
from tunewright.core.optional import require
from tunewright.core.score import Floats, Ints

BLOCK = 10_000  # rows that compete with each other
SIZE = 64  # numbers a text, where no sentence vectors are installed


def vectors(texts: pl.Series) -> Any:
    """Unit vectors (n, d): WordLlama's static ones where installed, else TF-IDF in few dimensions."""
    from tunewright.models.static import static_vectors

    try:
        return static_vectors(texts.fill_null("").to_list())
    except EnvironmentProblem:
        return _tfidf(texts)


def _tfidf(texts: pl.Series) -> Any:
    from tunewright.text.quick import bag_of_words

    matrix = bag_of_words(texts, most=20_000).matrix
    size = min(SIZE, min(matrix.shape) - 1)
    if size < 2:
        return np.asarray(matrix.toarray() if matrix.shape[1] else np.zeros((len(texts), 1)), dtype=np.float32)
    few = require("sklearn.decomposition", "audit").TruncatedSVD(size, random_state=0).fit_transform(matrix)
    lengths = np.linalg.norm(few, axis=1, keepdims=True)
    return np.asarray(few / np.where(lengths > 0, lengths, 1), dtype=np.float32)


def cover(points: Any, keep: int, seed: int = 0) -> Ints:
    """Indices of `keep` of `points` (n, d), which cover the rest; in blocks when there are many."""
    order = np.random.default_rng(seed).permutation(len(points))
    blocks = np.array_split(order, -(-len(points) // BLOCK))
    ends = np.round(np.cumsum([len(one) for one in blocks]) * keep / len(points)).astype(int)
    shares = np.diff(ends, prepend=0)
    return np.sort(np.concatenate([block[_greedy(points[block], int(share))] for block, share in zip(blocks, shares, strict=True)]))


def _greedy(points: Any, keep: int) -> Ints:
    """The row nearest to the middle, then each time the one farthest from all chosen."""
    if keep >= len(points):
        return np.arange(len(points), dtype=np.int64)
    chosen, lengths = np.zeros(keep, dtype=np.int64), np.einsum("nd,nd->n", points, points)
    far: Floats = np.full(len(points), np.inf)
    nearest = int(((points - points.mean(axis=0)) ** 2).sum(axis=1).argmin())
    for number in range(keep):
        chosen[number] = nearest if number == 0 else int(far.argmax())
        one = points[chosen[number]]
        far = np.minimum(far, lengths - 2 * (points @ one) + one @ one)
        far[chosen[number]] = -1.0
    return chosen
