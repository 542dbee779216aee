"""Exact and near duplicates: an exact set-similarity join, with no sampling and no estimate.

    rows = TextJoin(pl.Series(["Great phone, I love it", "great  PHONE, i love it", "Great phone, I love it so"]))
    rows.first              # [0, 0, 2]: row 1 repeats row 0 word for word (NFC, casefold, white space folded)
    rows.pairs(0.5)         # (0, 2, 0.75): three of the four distinct word triples are shared; (0, 1, 1.0)
    rows.keep(0.5)          # which rows to drop, each with a kept row that it is near to
    rows.components(0.3)    # one number a row; rows linked by a chain of pairs share it

A row is the set of its hashed word triples; every character of a script without spaces (Chinese, Japanese, Thai ...) is
a word of its own, and a text of one or two words is one shingle. Two rows with Jaccard similarity J >= t share one of the
first `m - ceil(t m) + 1` of their m shingles in any common order; taken from rarest to most frequent that is a short
list, so few pairs are ever compared, and each of those by its true J (Chaudhuri et al. 2006; Xiao et al. 2008, PPJoin).
Rows that repeat another word for word are compared once, through the first of them. Memory grows with the words of the
texts and with the answer; `keep` and `components` give at most one line a row however many pairs there are.
"""

from __future__ import annotations

import re
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from tunewright.core.executor import cores
from tunewright.text.repair import UNSPACED

Array = npt.NDArray[Any]

ALL, LINKS, KEEP = 0, 1, 2  # what the join looks for: every pair, enough pairs to link each set, or what to drop
CHUNK_BYTES = 1 << 25
MAX_SLOTS = 1 << 26
PAIR_SCHEMA = pl.Schema({"left": pl.UInt32, "right": pl.UInt32, "jaccard": pl.Float64})
KEEP_SCHEMA = pl.Schema({"row": pl.UInt32, "kept": pl.UInt32, "jaccard": pl.Float64})


def normalise(text: str) -> str:
    """Words in one form, separated by one space: NFC, casefold, white space folded, unspaced scripts cut into characters."""
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())
    return " ".join(re.sub(f"([{UNSPACED}])", r" \1 ", folded).split())


class TextJoin:
    """The rows of one text column, cut into shingles once and ready to be joined at any threshold."""

    def __init__(self, texts: pl.Series) -> None:
        from tunewright.text.kernels import count_shingles, shingle_rows

        texts = texts.cast(pl.String).fill_null("")
        with ThreadPoolExecutor(min(cores(), 4)) as pool:
            stretches = _chunks(texts.str.len_bytes())
            parts = list(pool.map(lambda cut: shingle_rows(*_bytes(texts[slice(*cut)])), stretches))
        shingles, sizes, words = (np.concatenate(part) for part in zip(*parts, strict=True))
        self.first = _first_with_same(words, sizes > 0)
        alone = self.first == np.arange(len(texts))
        self._copies = np.flatnonzero(~alone)
        starts = np.cumsum(sizes) - sizes
        self._rows = (shingles, starts, sizes, np.flatnonzero(alone & (sizes > 0)))
        slots = min(MAX_SLOTS, 1 << max(4, (2 * len(shingles)).bit_length()))
        self._frequency = count_shingles(*self._rows, np.zeros(slots, np.uint16))

    def __len__(self) -> int:
        return len(self.first)

    def pairs(self, threshold: float) -> pl.DataFrame:
        """Every pair of rows with Jaccard >= `threshold` as (left < right, jaccard), ordered.

        A row that repeats another word for word stands in one pair only, with the first such row. The answer may be
        quadratic in the rows; `keep` and `components` never are.
        """
        return self._with_copies(self._join(ALL, threshold)).sort("left", "right")

    def keep(self, threshold: float) -> pl.DataFrame:
        """Rows to drop, in order, each with the kept row that it is nearest to (J >= `threshold`).

        Rows are taken in their order: a row is kept unless it is near to a row kept before, so no two kept rows are near.
        """
        kept, row, jaccard = self._join(KEEP, threshold)
        partner, nearness = np.arange(len(self)), np.ones(len(self))
        partner[row], nearness[row] = kept, jaccard
        copied = self.first[self._copies]
        partner[self._copies], nearness[self._copies] = partner[copied], nearness[copied]
        rows = np.flatnonzero(partner != np.arange(len(self)))
        return pl.DataFrame([rows, partner[rows], nearness[rows]], schema=["row", "kept", "jaccard"]).cast(KEEP_SCHEMA)

    def links(self, threshold: float) -> pl.DataFrame:
        """A few of `pairs`, at most one less than there are rows, that link the same rows into the same sets."""
        return self._with_copies(self._join(LINKS, threshold)).sort("right", "left")

    def components(self, threshold: float) -> npt.NDArray[np.int64]:
        """A set number for each row: equal for rows that a chain of pairs with J >= `threshold` links."""
        linked = self.links(threshold)
        return clusters(len(self), linked["left"].to_numpy(), linked["right"].to_numpy())

    def _with_copies(self, found: tuple[Array, Array, Array]) -> pl.DataFrame:
        copies = (self.first[self._copies], self._copies, np.ones(len(self._copies)))
        columns = [np.concatenate(both) for both in zip(found, copies, strict=True)]
        return pl.DataFrame(columns, schema=["left", "right", "jaccard"]).cast(PAIR_SCHEMA)

    def _join(self, mode: int, threshold: float) -> tuple[Array, Array, Array]:
        """(earlier row, later row, jaccard) of the pairs that `mode` wants."""
        from tunewright.text.kernels import join_rows, prefixes

        if not 0 < threshold <= 1:
            raise ValueError(f"threshold must be above 0 and at most 1, but got {threshold}")
        keys, prefix = prefixes(self._rows, self._frequency, threshold)
        order = np.argsort(keys)
        new = np.diff(keys[order], prepend=keys[order][:1]) != 0
        bucket = np.empty(len(keys), np.int64)
        bucket[order] = np.cumsum(new)
        begin = np.concatenate([[0], np.flatnonzero(new), [len(keys)]]).astype(np.int64)
        left, right, jaccard = join_rows(mode, threshold, self._rows, prefix, bucket, begin)
        return left, right, jaccard


def keep_by_label(texts: pl.Series, labels: pl.Series, threshold: float) -> pl.DataFrame:
    """`TextJoin.keep` among rows of one label: a text that says nearly the same and means another is not a copy."""
    rows = pl.DataFrame({"text": texts, "label": labels}).with_row_index("place")
    found = [pl.DataFrame(schema=KEEP_SCHEMA)]
    for part in rows.partition_by("label", maintain_order=True):
        kept = TextJoin(part["text"]).keep(threshold)
        found.append(kept.with_columns(row=part["place"].gather(kept["row"]), kept=part["place"].gather(kept["kept"])))
    return pl.concat(found, how="vertical_relaxed").sort("row")


def clusters(rows: int, left: Array, right: Array) -> npt.NDArray[np.int64]:
    """Number the connected sets of `rows` rows under the links left[i] - right[i], in order of their first rows."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(left), np.int8), (left, right)), shape=(rows, rows))
    numbers = connected_components(graph, directed=False)[1]
    _, first, inverse = np.unique(numbers, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse].astype(np.int64)


def _chunks(sizes: pl.Series) -> list[tuple[int, int]]:
    """Cut the rows into stretches of about `CHUNK_BYTES`."""
    number = np.cumsum(sizes.to_numpy(), dtype=np.int64) // CHUNK_BYTES
    edges = [0, *(np.flatnonzero(np.diff(number)) + 1).tolist(), len(sizes)]
    return list(pairwise(edges))


def _bytes(texts: pl.Series) -> tuple[Array, Array]:
    """One buffer of all rows, a space after each, and where each ends. Only rows with non-ASCII text pass through Python."""
    rows = texts.cast(pl.Binary).to_list()
    for index in (texts.str.len_bytes() != texts.str.len_chars()).arg_true().to_list():
        rows[index] = normalise(texts[index]).encode()
    ends = np.cumsum(np.fromiter(map(len, rows), np.int64, len(rows)) + 1)
    return np.frombuffer(b" ".join([*rows, b""]), np.uint8), ends


def _first_with_same(words: Array, real: Array) -> npt.NDArray[np.int64]:
    """For each row the first row with the same 128-bit hash of its words; a row without words only equals itself."""
    rows = np.arange(len(words))
    frame = pl.DataFrame({"low": words[:, 0], "high": words[:, 1], "alone": np.where(real, 0, rows), "row": rows})
    return frame.select(pl.col("row").first().over("low", "high", "alone"))["row"].to_numpy().astype(np.int64)
