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

import os
import re
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt
import polars as pl

from tunewright.core.optional import require

Array = npt.NDArray[Any]
Function = TypeVar("Function", bound=Callable[..., Any])

WORDS = 3
CHUNK_BYTES = 1 << 25
MAX_SLOTS = 1 << 26
# Thai, Lao, Tibetan, Burmese, Khmer, kana, bopomofo, CJK ideographs with their extensions: written without spaces.
UNSPACED = (
    "\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u312f\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff"
)
PAIR_SCHEMA = {"left": pl.UInt32, "right": pl.UInt32, "jaccard": pl.Float64}
KEEP_SCHEMA = {"row": pl.UInt32, "kept": pl.UInt32, "jaccard": pl.Float64}
ALL, LINKS, KEEP = 0, 1, 2  # what the join looks for: every pair, enough pairs to link each set, or what to drop


def kernel(function: Function) -> Function:
    """Compile without the interpreter lock; the machine code is cached beside this file."""
    return cast(Function, require("numba", "audit").njit(function, cache=True, nogil=True))


def normalise(text: str) -> str:
    """Words in one form, separated by one space: NFC, casefold, white space folded, unspaced scripts cut into characters."""
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())
    return " ".join(re.sub(f"([{UNSPACED}])", r" \1 ", folded).split())


class TextJoin:
    """The rows of one text column, cut into shingles once and ready to be joined at any threshold."""

    def __init__(self, texts: pl.Series) -> None:
        texts = texts.cast(pl.String).fill_null("")
        cuts = _chunks(texts.str.len_bytes().to_numpy())
        workers = min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1, 4)
        with ThreadPoolExecutor(workers) as pool:
            parts = list(pool.map(lambda cut: _shingle_rows(*_bytes(texts[cut[0] : cut[1]])), cuts))
        self._shingles = np.concatenate([part[0] for part in parts])
        self._size = np.concatenate([part[1] for part in parts])
        self._start = np.concatenate([[0], np.cumsum(self._size)[:-1]]).astype(np.int64)
        words = np.concatenate([part[2] for part in parts])
        self.first = _first_with_same(words, self._size > 0)
        alone = self.first == np.arange(len(self.first))
        self._originals = np.flatnonzero(alone & (self._size > 0))
        self._copies = np.flatnonzero(~alone)
        self._frequency = self._document_frequency()

    def __len__(self) -> int:
        return len(self.first)

    def pairs(self, threshold: float) -> pl.DataFrame:
        """Every pair of rows with Jaccard >= `threshold` as (left < right, jaccard), ordered.

        A row that repeats another word for word stands in one pair only, with the first such row. The answer may be
        quadratic in the rows; `keep` and `components` never are.
        """
        found = self._join(ALL, threshold)
        copies = (self.first[self._copies], self._copies, np.ones(len(self._copies)))
        columns = [np.concatenate(both) for both in zip(found, copies, strict=True)]
        return pl.DataFrame(dict(zip(PAIR_SCHEMA, columns, strict=True)), schema=PAIR_SCHEMA).sort("left", "right")

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
        return pl.DataFrame(
            dict(zip(KEEP_SCHEMA, (rows, partner[rows], nearness[rows]), strict=True)), schema=KEEP_SCHEMA
        )

    def links(self, threshold: float) -> pl.DataFrame:
        """A few of `pairs`, at most one less than there are rows, that link the same rows into the same sets."""
        earlier, later, jaccard = self._join(LINKS, threshold)
        copies = (self.first[self._copies], self._copies, np.ones(len(self._copies)))
        columns = [np.concatenate(both) for both in zip((earlier, later, jaccard), copies, strict=True)]
        return pl.DataFrame(dict(zip(PAIR_SCHEMA, columns, strict=True)), schema=PAIR_SCHEMA).sort("right", "left")

    def components(self, threshold: float) -> npt.NDArray[np.int64]:
        """A set number for each row: equal for rows that a chain of pairs with J >= `threshold` links."""
        linked = self.links(threshold)
        return clusters(len(self), linked["left"].to_numpy(), linked["right"].to_numpy())

    def _document_frequency(self) -> Array:
        total = int(self._size[self._originals].sum())
        slots = min(MAX_SLOTS, 1 << max(4, (2 * total).bit_length()))
        return _count_shingles(self._shingles, self._start, self._size, self._originals, np.zeros(slots, np.uint16))

    def _join(self, mode: int, threshold: float) -> tuple[Array, Array, Array]:
        if not 0 < threshold <= 1:
            raise ValueError(f"threshold must be above 0 and at most 1, but got {threshold}")
        held = (self._shingles, self._start, self._size, self._originals)
        keys, offsets = _prefixes(*held, self._frequency, threshold)
        order = np.argsort(keys)
        new = np.diff(keys[order], prepend=keys[order][:1]) != 0
        bucket = np.empty(len(keys), np.int64)
        bucket[order] = np.cumsum(new)
        stops = np.concatenate([np.flatnonzero(new), [len(keys)]]).astype(np.int64)
        begin = np.concatenate([[0], stops]).astype(np.int64)
        return cast(tuple[Array, Array, Array], _join_rows(mode, threshold, *held, offsets, bucket, begin))


def near_duplicates(texts: pl.Series, threshold: float) -> pl.DataFrame:
    """`TextJoin(texts).pairs(threshold)`: left, right, jaccard."""
    return TextJoin(texts).pairs(threshold)


def clusters(rows: int, left: Array, right: Array) -> npt.NDArray[np.int64]:
    """Number the connected sets of `rows` rows under the links left[i] - right[i], in order of their first rows."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(left), np.int8), (left, right)), shape=(rows, rows))
    numbers = connected_components(graph, directed=False)[1]
    _, first, inverse = np.unique(numbers, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse].astype(np.int64)


def _chunks(sizes: Array) -> list[tuple[int, int]]:
    """Cut the rows into stretches of about `CHUNK_BYTES`."""
    number = np.cumsum(sizes, dtype=np.int64) // CHUNK_BYTES
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


@kernel
def _mix(value: Any) -> Any:
    """Spread 64 bits (the finaliser of splitmix64)."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


@kernel
def _shingle_rows(data: Array, ends: Array) -> Any:
    """(sorted distinct shingles of all rows end to end, how many each row has, 128-bit hash of each row's words)."""
    spaces, words = True, 0
    for byte in data:
        space = byte == 32 or (9 <= byte <= 13) or (28 <= byte <= 31)
        words += spaces and not space
        spaces = space
    shingles = np.empty(words, np.uint64)
    sizes = np.empty(len(ends), np.int64)
    exact = np.empty((len(ends), 2), np.uint64)
    filled, place = 0, 0
    for row in range(len(ends)):
        begin, inside = filled, False
        low, high, word = np.uint64(1), np.uint64(2), np.uint64(0xCBF29CE484222325)
        while place < ends[row]:
            byte = data[place]
            place += 1
            if byte == 32 or (9 <= byte <= 13) or (28 <= byte <= 31):
                if inside:
                    shingles[filled] = _mix(word)
                    low = _mix(low + shingles[filled])
                    high = (high ^ np.uint64(32)) * np.uint64(0x9E3779B97F4A7C15)
                    filled += 1
                    inside, word = False, np.uint64(0xCBF29CE484222325)
                continue
            inside = True
            letter = np.uint64(byte | 32) if 65 <= byte <= 90 else np.uint64(byte)
            word = (word ^ letter) * np.uint64(0x100000001B3)
            high = (high ^ letter) * np.uint64(0x9E3779B97F4A7C15)
            high ^= high >> np.uint64(29)
        exact[row, 0], exact[row, 1] = low, high
        filled = begin + _fold(shingles[begin:filled])
        sizes[row] = filled - begin
    return shingles[:filled].copy(), sizes, exact


@kernel
def _fold(row: Array) -> int:
    """Replace a row's word hashes by its sorted distinct shingles, in place; return how many there are."""
    words = len(row)
    if words == 0:
        return 0
    count = max(1, words - WORDS + 1)
    for first in range(count):
        value = np.uint64(0)
        for offset in range(min(WORDS, words)):
            value = _mix(value + row[first + offset])
        row[first] = value
    row[:count].sort()
    distinct = 1
    for place in range(1, count):
        if row[place] != row[distinct - 1]:
            row[distinct] = row[place]
            distinct += 1
    return distinct


@kernel
def _count_shingles(shingles: Array, start: Array, size: Array, rows: Array, table: Array) -> Array:
    """In how many of `rows` a shingle occurs, by the low bits of its hash: never too few, at most 65,535."""
    mask = np.uint64(len(table) - 1)
    for row in rows:
        for shingle in shingles[start[row] : start[row] + size[row]]:
            slot = shingle & mask
            if table[slot] < 65535:
                table[slot] += 1
    return table


@kernel
def _prefixes(shingles: Array, start: Array, size: Array, rows: Array, table: Array, threshold: float) -> Any:
    """The keys that row r of `rows` must share one of to be near to another: keys[offsets[r]:offsets[r+1]].

    A key is a shingle's frequency (16 bits) before 48 bits of its hash. A shingle of one row only counts for the order,
    but nobody shares it, so it gets no key.
    """
    mask = np.uint64(len(table) - 1)
    offsets = np.zeros(len(rows) + 1, np.int64)
    longest = 0
    for index in range(len(rows)):
        row = rows[index]
        shared = 0
        for shingle in shingles[start[row] : start[row] + size[row]]:
            shared += table[shingle & mask] > 1
        longest = max(longest, shared)
        needed = int(np.ceil(threshold * size[row] - 1e-9))
        offsets[index + 1] = offsets[index] + max(0, shared - max(needed, 1) + 1)
    keys = np.empty(offsets[-1], np.uint64)
    own = np.empty(longest, np.uint64)
    for index in range(len(rows)):
        count = offsets[index + 1] - offsets[index]
        if count == 0:
            continue
        row, shared = rows[index], 0
        for shingle in shingles[start[row] : start[row] + size[row]]:
            frequency = np.uint64(table[shingle & mask])
            if frequency > 1:
                own[shared] = (frequency << np.uint64(48)) | (shingle >> np.uint64(16))
                shared += 1
        own[:shared].sort()
        keys[offsets[index] : offsets[index + 1]] = own[:count]
    return keys, offsets


@kernel
def _jaccard(left: Array, right: Array, threshold: float) -> float:
    """Jaccard similarity of two sorted sets, or -1 as soon as it must be below `threshold`."""
    both = len(left) + len(right)
    needed = threshold / (1.0 + threshold) * both - 1e-9
    common, i, j = 0, 0, 0
    while i < len(left) and j < len(right):
        if left[i] == right[j]:
            common, i, j = common + 1, i + 1, j + 1
        else:
            if left[i] < right[j]:
                i += 1
            else:
                j += 1
            if common + min(len(left) - i, len(right) - j) < needed:
                return -1.0
    return common / (both - common)


@kernel
def _root(parent: Array, row: int) -> int:
    while parent[row] != row:
        parent[row] = parent[parent[row]]
        row = parent[row]
    return row


@kernel
def _join_rows(
    mode: int,
    threshold: float,
    shingles: Array,
    start: Array,
    size: Array,
    rows: Array,
    offsets: Array,
    bucket: Array,
    begin: Array,
) -> Any:
    """Visit rows in order, compare each with earlier rows that share a key with it; (earlier, row, J) of the pairs wanted.

    `joined[b]` postings at the head of bucket b belong to one set, and sets only grow; a row of that set skips them at
    once, so a thousand copies of one template cost a thousand comparisons in mode LINKS, not half a million. In mode
    KEEP only kept rows are put into buckets.
    """
    left, right, nearness, found = np.empty(64, np.int64), np.empty(64, np.int64), np.empty(64), 0
    stop = begin[:-1].copy()
    joined = begin[:-1].copy()
    posting = np.empty(len(bucket), np.int64)
    seen = np.full(len(rows), -1, np.int64)
    parent = np.arange(len(rows))
    for index in range(len(rows)):
        row = rows[index]
        own = shingles[start[row] : start[row] + size[row]]
        best, best_jaccard = -1, -1.0
        for entry in range(offsets[index], offsets[index + 1]):
            b = bucket[entry]
            place = begin[b]
            if mode == LINKS and stop[b] > place:
                root = _root(parent, posting[place])
                while joined[b] < stop[b] and _root(parent, posting[joined[b]]) == root:
                    joined[b] += 1
                if _root(parent, index) == root:
                    place = joined[b]
            for where in range(place, stop[b]):
                other = posting[where]
                if seen[other] == index:
                    continue
                seen[other] = index
                length = size[rows[other]]
                if min(length, len(own)) < threshold * max(length, len(own)) - 1e-9:
                    continue
                if mode == LINKS and _root(parent, other) == _root(parent, index):
                    continue
                jaccard = _jaccard(own, shingles[start[rows[other]] : start[rows[other]] + length], threshold)
                if jaccard < threshold or (mode == KEEP and (jaccard, -other) <= (best_jaccard, -best)):
                    continue
                if mode == LINKS:
                    parent[_root(parent, index)] = _root(parent, other)
                if found == len(left):
                    left, right = np.append(left, np.empty_like(left)), np.append(right, np.empty_like(right))
                    nearness = np.append(nearness, np.empty_like(nearness))
                found -= mode == KEEP and best >= 0
                left[found], right[found], nearness[found] = rows[other], row, jaccard
                best, best_jaccard, found = other, jaccard, found + 1
        if mode != KEEP or best < 0:
            for entry in range(offsets[index], offsets[index + 1]):
                posting[stop[bucket[entry]]] = index
                stop[bucket[entry]] += 1
    return left[:found], right[:found], nearness[:found]
