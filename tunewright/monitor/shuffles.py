"""Distances between two sides of a shuffle, for all shuffles at once: every function returns one number for each line of `sides`.

    sides = shuffled(blocks, 500, 1000)       # (1001, 900): the truth, then 1000 shuffles
    moved = earth_moved(lengths, sides)       # (1001,): moved[0] is the real distance, moved[1:] what chance alone gives

A permutation test (Fisher 1935; Good 2005): without drift the truth is one line among equals, so the share of lines at least as far out
is an exact p-value for windows and references of any size. That is why nothing is drawn from the reference alone: a reference of 400 rows has
no two disjoint samples of 500. Rows that belong together change sides together.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tunewright.core.score import Floats, Ints
from tunewright.core.watch import Sides


def shuffled(blocks: Ints, window: int, resamples: int, seed: int = 17) -> Sides:
    """(1 + resamples, rows): 1.0 for rows of the window's side; the first line is the truth, in which the last `window` rows are the window.

    `blocks` (rows,) numbers what belongs together (the sentences of one review, the requests of one caller): it changes sides as a whole, because
    its rows are alike whatever drifts. In a shuffle the window's side has as many rows as the window, give or take half a block.
    """
    truth = np.zeros(len(blocks), np.float32)
    truth[len(blocks) - window :] = 1
    if resamples == 0 or window == 0:
        return truth[None, :]
    names, block = np.unique(blocks, return_inverse=True)
    sizes = np.bincount(block)
    order = np.random.default_rng(seed).permuted(np.tile(np.arange(len(names)), (resamples, 1)), axis=1)
    ends = np.cumsum(sizes[order], axis=1)
    inside = np.zeros((resamples, len(names)), np.float32)
    np.put_along_axis(inside, order, (ends - sizes[order] / 2 <= window).astype(np.float32), axis=1)
    return np.concatenate([truth[None, :], inside[:, block]])


def means(values: Floats, sides: Sides) -> tuple[Floats, Floats]:
    """Mean of `values` (rows,) on the reference's side and on the window's."""
    values = np.asarray(values, np.float32)
    size = sides.sum(axis=1, dtype=np.float64)
    now = (sides @ values).astype(np.float64)
    rest = float(values.sum(dtype=np.float64)) - now
    return rest / np.maximum(sides.shape[1] - size, 1), now / np.maximum(size, 1)


def rise(values: Floats, sides: Sides) -> Floats:
    """How much larger the window's mean is."""
    before, now = means(values, sides)
    return np.asarray(now - before)


def earth_moved(values: Floats, sides: Sides) -> Floats:
    """Wasserstein's distance: how far the average unit of `values` (rows,) has to be moved to make one side the other."""
    order = np.argsort(values, kind="stable")
    ordered, dealt = np.asarray(values)[order], sides[:, order]
    size = dealt.sum(axis=1, keepdims=True)
    now = np.cumsum(dealt, axis=1)
    rest = np.arange(1, len(order) + 1, dtype=np.float32) - now
    gap = np.abs(now / np.maximum(size, 1) - rest / np.maximum(len(order) - size, 1))
    return np.asarray(gap[:, :-1] @ np.diff(ordered).astype(np.float32), np.float64)


def counts(columns: Any, sides: Sides) -> tuple[Any, Any]:
    """Sums of `columns` (rows, k; sparse or dense) on each side: two arrays (lines, k)."""
    now = np.asarray((columns.T @ sides.T).T, np.float32)
    whole = np.asarray(columns.sum(axis=0), np.float32).reshape(1, -1)
    return whole - now, now


def divergence(before: Any, now: Any) -> Floats:
    """Jensen and Shannon's divergence (Lin 1991) of two tables of counts (lines, k), in bits: 0 for equal mixes, 1 for disjoint ones."""
    p = before / np.maximum(before.sum(axis=1, keepdims=True), 1e-9)
    q = now / np.maximum(now.sum(axis=1, keepdims=True), 1e-9)
    middle = (p + q) / 2
    total = (
        _plogp(p).sum(axis=1, dtype=np.float64) / 2
        + _plogp(q).sum(axis=1, dtype=np.float64) / 2
        - _plogp(middle).sum(axis=1, dtype=np.float64)
    )
    return np.asarray(np.maximum(total, 0.0))


def _plogp(shares: Any) -> Any:
    return shares * np.log2(np.maximum(shares, 1e-12))


def one_hot(codes: Ints, kinds: int) -> Floats:
    """(rows, kinds) of 0 and 1."""
    return np.eye(kinds, dtype=np.float32)[codes]  # type: ignore[return-value]


def middle_distance(features: Any, sides: Sides) -> Floats:
    """Squared distance of the sides' means of `features` (rows, k): with random Fourier features that is MMD (Gretton et al. 2012)."""
    features = np.asarray(features, np.float32)
    size = sides.sum(axis=1, keepdims=True)
    now = sides @ features
    rest = features.sum(axis=0, keepdims=True) - now
    gap = now / np.maximum(size, 1) - rest / np.maximum(sides.shape[1] - size, 1)
    return np.asarray((gap * gap).sum(axis=1), np.float64)


def fourier(vectors: Any, size: int = 256, seed: int = 17) -> Any:
    """(rows, 2 * size) random Fourier features (Rahimi & Recht 2007) of a Gaussian kernel whose width is the median distance."""
    chance = np.random.default_rng(seed)
    some = vectors[chance.permutation(len(vectors))[:300]]
    squares = (some * some).sum(axis=1)
    apart = squares[:, None] + squares[None, :] - 2 * some @ some.T
    width = np.sqrt(max(float(np.median(apart[np.triu_indices(len(some), 1)])), 1e-6)) if len(some) > 1 else 1.0
    waves = vectors @ (chance.standard_normal((vectors.shape[1], size)) / width).astype(np.float32)
    return np.concatenate([np.cos(waves), np.sin(waves)], axis=1) / np.sqrt(size)


def told_apart(kernel: Any, sides: Sides, blocks: Ints, folds: int = 5, ridge: float = 1.0, seed: int = 17) -> tuple[Floats, Floats]:
    """How well a linear classifier tells the sides apart: AUC (lines,), and its out-of-sample scores of the true sides (rows,).

    A classifier two-sample test (Lopez-Paz & Oquab 2017). Ridge regression on the sides, cross-fitted: its out-of-sample answers are linear
    in what it is taught, so one matrix answers for every shuffle, and each of them is a classifier fitted anew. Rows of one of `blocks` (rows,)
    never judge each other.
    """
    rows = sides.shape[1]
    taught = sides.T - sides.mean(axis=1)[None, :]
    names, block = np.unique(blocks, return_inverse=True)
    fold = np.random.default_rng(seed).permutation(np.arange(len(names)) % folds)[block]
    scores = np.empty((rows, sides.shape[0]), np.float32)
    for one in range(folds):
        test, train = np.flatnonzero(fold == one), np.flatnonzero(fold != one)
        inner = kernel[np.ix_(train, train)] + ridge * np.eye(len(train), dtype=np.float32)
        weights = np.linalg.solve(inner.astype(np.float32), kernel[np.ix_(train, test)].astype(np.float32))
        level = taught[train].mean(axis=0, keepdims=True)
        scores[test] = weights.T @ (taught[train] - level)  # without the level: it would tell the folds apart, not the rows
    return _auc(scores, sides), np.asarray(scores[:, 0], np.float64)


def _auc(scores: Any, sides: Sides) -> Floats:
    """Area under the curve for each column of `scores` (rows, lines): the chance that a row of the window scores above one of the reference."""
    order = np.argsort(scores, axis=0)
    dealt = np.take_along_axis(np.ascontiguousarray(sides.T), order, axis=0)
    size = dealt.sum(axis=0, dtype=np.float64)
    ranks = np.arange(1, len(dealt) + 1, dtype=np.float64) @ dealt
    below = ranks - size * (size + 1) / 2
    return np.asarray(below / np.maximum(size * (len(dealt) - size), 1))
