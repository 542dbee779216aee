"""The compiled loops of `neardup`, which explains them. Machine code is cached beside this file; the first call makes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt

from tunewright.core.optional import require
from tunewright.text.neardup import KEEP, LINKS

Array = npt.NDArray[Any]
# Shingles of all rows end to end; where each row begins; how many it has; which rows to join.
Held = tuple[Array, Array, Array, Array]
Prefix = tuple[Array, Array]  # of `prefixes`: offsets and rest
Function = TypeVar("Function", bound=Callable[..., Any])

WORDS = 3


def kernel(function: Function) -> Function:
    """Compile, to run without the interpreter's lock."""
    return cast(Function, require("numba", "audit").njit(function, cache=True, nogil=True))


@kernel
def _mix(value: Any) -> Any:
    """Spread 64 bits (the finaliser of splitmix64)."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


@kernel
def _sort(values: Array) -> None:
    """In place. One function for all callers: compiling a sort takes a second."""
    values.sort()


@kernel
def _grown(values: Array) -> Array:
    larger = np.empty(2 * len(values), values.dtype)
    for place in range(len(values)):
        larger[place] = values[place]
    return larger


@kernel
def shingle_rows(data: Array, ends: Array) -> Any:
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
    _sort(row[:count])
    distinct = 1
    for place in range(1, count):
        if row[place] != row[distinct - 1]:
            row[distinct] = row[place]
            distinct += 1
    return distinct


@kernel
def count_shingles(shingles: Array, start: Array, size: Array, rows: Array, table: Array) -> Array:
    """In how many of `rows` a shingle occurs, by the low bits of its hash: never too few, at most 65,535."""
    mask = np.uint64(len(table) - 1)
    for row in rows:
        for shingle in shingles[start[row] : start[row] + size[row]]:
            slot = shingle & mask
            if table[slot] < 65535:
                table[slot] += 1
    return table


@kernel
def prefixes(held: Held, table: Array, threshold: float) -> Any:
    """The keys that row r of `rows` must share one of to be near to another: keys[offsets[r]:offsets[r+1]], rarest first;
    and, for each key, how many shingles that others have too the row has from there on.

    A key is a shingle's frequency (16 bits) before 48 bits of its hash. A shingle of one row only counts for the order,
    but nobody shares it, so it gets no key.
    """
    shingles, start, size, rows = held
    mask = np.uint64(len(table) - 1)
    offsets = np.zeros(len(rows) + 1, np.int64)
    longest = 0
    for index in range(len(rows)):
        row = rows[index]
        shared = 0
        for shingle in shingles[start[row] : start[row] + size[row]]:
            shared += table[shingle & mask] > 1
        longest = max(longest, shared)
        needed = -int((1e-9 - threshold * size[row]) // 1)
        offsets[index + 1] = offsets[index] + max(0, shared - max(needed, 1) + 1)
    keys, rest = np.empty(offsets[-1], np.uint64), np.empty(offsets[-1], np.int64)
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
        _sort(own[:shared])
        for place in range(count):
            keys[offsets[index] + place] = own[place]
            rest[offsets[index] + place] = shared - place
    return keys, (offsets, rest)


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
def join_rows(mode: int, threshold: float, held: Held, prefix: Prefix, bucket: Array, begin: Array) -> Any:
    """Visit rows in order, compare each with earlier rows that share a key with it; (earlier, row, J) of the pairs wanted.

    `joined[b]` postings at the head of bucket b belong to one set, and sets only grow; a row of that set skips them at
    once, so a thousand copies of one template cost a thousand comparisons in mode LINKS, not half a million. In mode
    KEEP only kept rows are put into buckets. A pair is compared at its first common key only, and not at all when too
    few shingles come after it in either row (the positional filter of PPJoin).
    """
    (shingles, start, size, rows), (offsets, rest) = held, prefix
    left, right, nearness, found = np.empty(64, np.int64), np.empty(64, np.int64), np.empty(64), 0
    stop = begin[:-1].copy()
    joined = begin[:-1].copy()
    posting, after = np.empty(len(bucket), np.int64), np.empty(len(bucket), np.int64)
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
                needed = threshold / (1.0 + threshold) * (length + len(own)) - 1e-9
                if min(length, len(own), rest[entry], after[where]) < needed:
                    continue
                if mode == LINKS and _root(parent, other) == _root(parent, index):
                    continue
                jaccard = _jaccard(own, shingles[start[rows[other]] : start[rows[other]] + length], threshold)
                if jaccard < threshold or (mode == KEEP and (jaccard, -other) <= (best_jaccard, -best)):
                    continue
                if mode == LINKS:
                    parent[_root(parent, index)] = _root(parent, other)
                if found == len(left):
                    left, right, nearness = _grown(left), _grown(right), _grown(nearness)
                found -= mode == KEEP and best >= 0
                left[found], right[found], nearness[found] = rows[other], row, jaccard
                best, best_jaccard, found = other, jaccard, found + 1
        if mode != KEEP or best < 0:
            for entry in range(offsets[index], offsets[index + 1]):
                posting[stop[bucket[entry]]], after[stop[bucket[entry]]] = index, rest[entry]
                stop[bucket[entry]] += 1
    return left[:found], right[:found], nearness[:found]
