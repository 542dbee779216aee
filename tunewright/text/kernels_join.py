"""The compiled loops of `neardup` for rows in crowds, where all pairs would be too many: they are visited in order.

They need memory as they go, so numba itself runs them, not `native`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tunewright.text.kernels import U, kernel
from tunewright.text.kernels_pairs import Held, common_keys, entry_hash, ones, prefix_length, root
from tunewright.text.neardup import KEEP, LINKS, TABLE

Array = npt.NDArray[Any]

PLENTY = 64  # near rows among which the nearest is looked for once a table is full


@kernel
def grown(values: Array) -> Array:
    larger = np.empty(2 * len(values), values.dtype)
    larger[: len(values)] = values
    return larger


@kernel
def fill_buckets(threshold: float, held: Held, counts: Array) -> None:
    """counts[b] = prefix entries in bucket b."""
    keys, start, shape, _, group, _ = held
    last = U(len(counts) - 1)
    for index in range(len(start)):
        for place in range(start[index], start[index] + prefix_length(shape[index, 0], shape[index, 1], threshold)):
            counts[_bucket(keys[place], group[index], last)] += 1


@kernel
def _bucket(key: Any, group: Any, last: Any) -> Any:
    hashed = entry_hash(key, group)
    return (hashed ^ (hashed >> U(32))) & last


def open_buckets(counts: Array) -> Array:
    """For each bucket where its postings begin, where they stop, where the set at its head ends, and whether it has any use."""
    useful = counts > 1
    counts *= useful
    begin = np.cumsum(counts, dtype=np.int32) - counts
    return np.stack([begin, begin, begin, useful], axis=1)


@kernel
def _candidates(postings: Array, rest: int, size: int, threshold: float, sketch: Array, own: Array, out: Array) -> int:
    """Write to `out` the rows of one bucket that may be near to a row of `size` shingles of which `rest` come from here on.

    An entry is passed over when too few keys come after it in either row: a pair with enough common keys has one of them
    before that point in both (the prefix filter for that pair's own sizes). Then by the sketches: rows differ in at least
    as many shingles as their sketches differ in bits (Sandes et al. 2017). Loops without branches: most entries fail.
    """
    share, apart = threshold / (1.0 + threshold), (1.0 - threshold) / (1.0 + threshold)
    count = 0
    for place in range(len(postings)):
        out[count] = place
        count += min(rest, postings[place, 2]) >= share * (postings[place, 1] + size) - 1e-9
    left = 0
    for place in range(count):
        row, length = postings[out[place], 0], postings[out[place], 1]
        bits = U(0)
        for word in range(4):
            bits += ones(own[word] ^ sketch[row, word])
        out[left] = row
        left += np.int64(bits) <= apart * (length + size) + 1e-9
    return left


@kernel
def _gather(keys: Array, group: Any, shared: int, room: Array, postings: Array, out: Array) -> int:
    """(bucket, keys from there on, row at its head) for each useful entry of a row. One loop each, so that waits for memory overlap."""
    last = U(len(room) - 1)
    count = 0
    for place in range(len(keys)):
        b = _bucket(keys[place], group, last)
        out[count, 0], out[count, 1] = np.int64(b), shared - place
        count += room[b, 3]
    for place in range(count):
        out[place, 2] = postings[room[out[place, 0], 0], 0]
    return count


@kernel
def _after_own_set(parent: Array, index: int, bucket: Array, postings: Array, head_row: int) -> Any:
    """Where to start in a bucket: after the head's set, when the row is of that set already."""
    head, stop = bucket[0], bucket[1]
    if stop > head:
        ahead = root(parent, head_row)
        while bucket[2] < stop and root(parent, postings[bucket[2], 0]) == ahead:
            bucket[2] += 1
        if root(parent, index) == ahead:
            head = bucket[2]
    return head


@kernel
def join_rows(mode: int, threshold: float, held: Held, room: Array, postings: Array, limit: int) -> Any:
    """Visit rows in order, compare each with earlier rows that share a bucket with it; (earlier, row, J) of the pairs wanted.

    In mode LINKS the postings at the head of a bucket that belong to one set are skipped at once by a row of that set, so a
    thousand copies of one template cost a thousand comparisons, not half a million. In mode KEEP only kept rows are put
    into buckets. In mode TABLE a row's pairs go in while there is room for one pair of each later row; a row that finds no
    room leaves only its nearest. The last value returned is the number of such rows.
    """
    keys, start, shape, sketch, group, rows = held
    share = threshold / (1.0 + threshold)
    left, right, nearness, found = np.empty(64, np.int64), np.empty(64, np.int64), np.empty(64), 0
    seen = np.full(len(rows), -1, np.int32)
    parent = np.arange(len(rows) if mode == LINKS else 1)
    visits, near = np.empty((64, 3), np.int64), np.empty(64, np.int64)
    cut = 0
    for index in range(len(rows)):
        shared, size = shape[index, 0], shape[index, 1]
        end = start[index] + shared
        best, best_jaccard, before = -1, -1.0, found
        prefix = prefix_length(shared, size, threshold)
        while prefix > len(visits):
            visits = np.empty((2 * len(visits), 3), np.int64)
        entries = _gather(keys[start[index] : start[index] + prefix], group[index], shared, room, postings, visits)
        for entry in range(entries):
            bucket = room[visits[entry, 0]]
            head = _after_own_set(parent, index, bucket, postings, visits[entry, 2]) if mode == LINKS else np.int64(bucket[0])
            while bucket[1] - head > len(near):
                near = np.empty(2 * len(near), np.int64)
            for place in range(_candidates(postings[head : bucket[1]], visits[entry, 1], size, threshold, sketch, sketch[index], near)):
                other = near[place]
                if seen[other] == index or group[other] != group[index]:
                    continue
                seen[other] = index
                if mode == LINKS and root(parent, other) == root(parent, index):
                    continue
                both = size + shape[other, 1]
                other_end = start[other] + shape[other, 0]
                common = common_keys(keys, start[index], end, keys, start[other], other_end, share * both - 1e-9)
                jaccard = common / (both - common)
                if common < 0 or jaccard < threshold:
                    continue
                if mode == TABLE and found + len(rows) - index > limit and found - before >= PLENTY:
                    break
                if mode == LINKS:
                    parent[root(parent, index)] = root(parent, other)
                nearer = jaccard > best_jaccard or (jaccard == best_jaccard and other < best)
                if nearer or mode != KEEP:
                    if found == len(left):
                        left, right, nearness = grown(left), grown(right), grown(nearness)
                    found -= mode == KEEP and best >= 0
                    left[found], right[found], nearness[found] = rows[other], rows[index], jaccard
                    found += 1
                if nearer:
                    best, best_jaccard = other, jaccard
        if mode == TABLE and found > before + 1 and found + len(rows) - index > limit:
            left[before], right[before], nearness[before] = rows[best], rows[index], best_jaccard
            found = before + 1
            cut += 1
        if mode != KEEP or best < 0:
            for entry in range(entries):
                bucket = room[visits[entry, 0]]
                posting = postings[bucket[1]]
                posting[0], posting[1], posting[2] = index, size, visits[entry, 1]
                bucket[1] += 1
    return left[:found], right[:found], nearness[:found], cut
