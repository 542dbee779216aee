"""The compiled loops of `neardup` that find all pairs at once, a stretch of the prefix entries that fits the cache at a time.

An entry is a key of a row's prefix: (hash of key and group, row, its distinct shingles, how many of its keys come from there on).
Entries are first dealt out to stretches by their hash, so each random access that follows stays within one stretch; the 32 bits
of the hash that come after those are kept. Two keys that share them by chance cost one comparison.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from tunewright.text.kernels import ONE, SECOND, THIRD, ZERO, U, kernel
from tunewright.text.neardup import BATCH

Array = npt.NDArray[Any]
# Keys of all rows end to end; and, for each row to join: where its keys begin, (keys, distinct shingles), sketch, group, number.
Held = tuple[Array, Array, Array, Array, Array, Array]
HASH, ROW, SIZE, REST = 0, 1, 2, 3  # the columns of entries

CHAIN = 16


@kernel
def ones(bits: Any) -> Any:
    """How many bits are set."""
    bits = bits - ((bits >> U(1)) & U(0x5555555555555555))
    bits = (bits & U(0x3333333333333333)) + ((bits >> U(2)) & U(0x3333333333333333))
    return (((bits + (bits >> U(4))) & U(0x0F0F0F0F0F0F0F0F)) * U(0x0101010101010101)) >> U(56)


@kernel
def prefix_length(shared: int, size: int, threshold: float) -> int:
    """Of how many of its rarest keys a row must share one with any row that it is near to."""
    return max(0, shared - max(1, math.ceil(threshold * size - 1e-9)) + 1)


@kernel
def entry_hash(key: Any, group: Any) -> Any:
    """One number for a key in a group."""
    return (key + group * THIRD) * SECOND


@kernel
def count_entries(threshold: float, keys: Array, start: Array, shape: Array, group: Array, counts: Array) -> None:
    """counts[s] = entries of stretch s, by the upper bits of their hash."""
    shift = U(63) - bits_of(len(counts))
    for row in range(len(start)):
        for place in range(start[row], start[row] + prefix_length(shape[row, 0], shape[row, 1], threshold)):
            counts[(entry_hash(keys[place], group[row]) >> ONE) >> shift] += 1


@kernel
def deal_entries(
    threshold: float, keys: Array, start: Array, shape: Array, group: Array, stop: Array, entries: Array, hashes: Array
) -> None:
    """Write each entry to the next place of its stretch; `stop` are the stretches' beginnings before and their ends after.

    The whole hashes are written to `hashes`, unless that is empty.
    """
    bits = bits_of(len(stop))
    for row in range(len(start)):
        shared, size = shape[row, 0], shape[row, 1]
        for place in range(prefix_length(shared, size, threshold)):
            hashed = entry_hash(keys[start[row] + place], group[row])
            stretch = (hashed >> ONE) >> (U(63) - bits)
            at = stop[stretch]
            if len(hashes):
                hashes[at] = hashed
            entries[at, HASH], entries[at, ROW] = (hashed << bits) >> U(32), row
            entries[at, SIZE], entries[at, REST] = size, shared - place
            stop[stretch] = at + 1


@kernel
def bits_of(count: int) -> Any:
    """The bits that number `count` things, a power of two."""
    bits = ZERO
    while (ONE << bits) < U(count):
        bits += ONE
    return bits


@kernel
def sort_into_buckets(given: Array, start: int, end: int, begin: Array, entries: Array) -> None:
    """Copy given[start:end] to `entries` in the order of buckets, and within a bucket of rows. Bucket b starts at begin[b]."""
    shift = U(32) - bits_of(len(begin) - 1)
    begin[:] = 0
    for place in range(start, end):
        begin[(U(given[place, HASH]) >> shift) + ONE] += 1
    for b in range(1, len(begin)):
        begin[b] += begin[b - 1]
    for place in range(end - 1, start - 1, -1):
        b = (U(given[place, HASH]) >> shift) + ONE
        begin[b] -= 1
        at = begin[b]
        for column in range(4):
            entries[at, column] = given[place, column]
    for b in range(len(begin) - 1):
        begin[b] = begin[b + 1]
    begin[-1] = end - start


@kernel
def bucket_pairs(entries: Array, heads: Array, begin: int, end: int, later: int, share: float, out: Array, count: int) -> int:
    """Write (head, later) for those of the entries heads[begin:end] that can make a pair with entry `later`.

    The key must be the same, and enough keys must come from there on in both rows: a pair with enough common keys has one
    of them before that point in both (the prefix filter for that pair's own sizes). No branches: most entries fail.
    """
    hashed, size, rest = entries[later, HASH], np.int64(entries[later, SIZE]), np.int64(entries[later, REST])
    for place in range(begin, end):
        head = heads[place]
        out[count, 0], out[count, 1] = head, later
        enough = min(rest, np.int64(entries[head, REST])) >= share * (np.int64(entries[head, SIZE]) + size) - 1e-9
        count += enough & (entries[head, HASH] == hashed)
    return count


@kernel
def stretch_pairs(entries: Array, length: int, begin: Array, position: Array, share: float, crowd: int, heads: Array, out: Array) -> int:
    """Write pairs of the `length` entries of one stretch to `out` until there are `BATCH`; `position`: (bucket, entry, heads) to go on with.

    Within a bucket rows come by size. The smaller row of a pair must have the key among those that would do for a partner
    of its own size: only such entries become heads. From `crowd` heads on, a row is compared with the first `CHAIN` and
    the last `CHAIN` of them only, and position[3] counts the bucket.
    """
    bucket, later, count_heads = position[0], position[1], position[2]
    count = 0
    while later < length and count < BATCH:
        while begin[bucket + 1] <= later:
            bucket, count_heads = bucket + 1, 0
        if count_heads < crowd:
            count = bucket_pairs(entries, heads, 0, count_heads, later, share, out, count)
        else:
            count = bucket_pairs(entries, heads, 0, CHAIN, later, share, out, count)
            count = bucket_pairs(entries, heads, count_heads - CHAIN, count_heads, later, share, out, count)
        heads[count_heads] = later
        more = entries[later, REST] >= 2.0 * share * entries[later, SIZE] - 1e-9
        position[3] += more and count_heads + 1 == crowd
        count_heads += more
        later += 1
    position[0], position[1], position[2] = bucket, later, count_heads
    return count


@kernel
def alike(sketch: Array, entries: Array, pairs: Array, count: int, apart: float) -> int:
    """Keep the pairs whose sketches differ in few enough bits; rows differ in at least as many shingles (Sandes et al. 2017)."""
    left = 0
    for place in range(count):
        one, other = pairs[place, 0], pairs[place, 1]
        row, near = entries[one, ROW], entries[other, ROW]
        bits = U(0)
        for word in range(4):
            bits += ones(sketch[row, word] ^ sketch[near, word])
        pairs[left, 0], pairs[left, 1] = one, other
        left += int(np.int64(bits) <= apart * (np.int64(entries[one, SIZE]) + np.int64(entries[other, SIZE])) + 1e-9)
    return left


@kernel
def common_keys(keys: Array, left: int, left_end: int, other_keys: Array, right: int, right_end: int, needed: float) -> int:
    """How many keys two sorted stretches share, or -1 as soon as it must be less than `needed`."""
    common = 0
    while left < left_end and right < right_end:
        one, other = keys[left], other_keys[right]
        common += one == other
        left += one <= other
        right += other <= one
        if one != other and common + min(left_end - left, right_end - right) < needed:
            return -1
    return common if common >= needed else -1


@kernel
def all_pairs(
    threshold: float,
    keys: Array,
    start: Array,
    shape: Array,
    sketch: Array,
    group: Array,
    entries: Array,
    stop: Array,
    begin: Array,
    sorted_: Array,
    heads: Array,
    pairs: Array,
    lately: Array,
    position: Array,
    state: Array,
    found: Array,
    nearness: Array,
) -> None:
    """found[n] = (row, row) and nearness[n] = J of every pair, some more than once: in another bucket that both are in.

    Rows must come by size, and `stop` ends the stretches of `entries`. A pair that was compared lately is passed over. Returns
    when it is done or when there is no room for another batch of pairs; called again it goes on. `state`: (stretch, pairs found,
    comparisons, most pairs); there are too many when the pairs are more than that or the comparisons more than twice that.
    """
    share, apart = threshold / (1.0 + threshold), (1.0 - threshold) / (1.0 + threshold)
    limit = state[3]
    while state[0] < len(stop) and state[1] <= limit and state[2] // 2 <= limit:
        from_ = stop[state[0] - 1] if state[0] else 0
        length = stop[state[0]] - from_
        if position[1] == 0:
            sort_into_buckets(entries, from_, from_ + length, begin, sorted_)
        while position[1] < length and state[1] <= limit and state[2] // 2 <= limit:
            if len(found) - state[1] < len(pairs):
                return
            count = stretch_pairs(sorted_, length, begin, position, share, len(heads) + 1, heads, pairs)
            count = alike(sketch, sorted_, pairs, count, apart)
            state[2] += count
            for place in range(count):
                one, other = np.int64(sorted_[pairs[place, 0], ROW]), np.int64(sorted_[pairs[place, 1], ROW])
                both = shape[one, 1] + shape[other, 1]
                ends = start[one] + shape[one, 0], start[other] + shape[other, 0]
                pair = (U(one) << U(32)) | U(other)
                if lately[(pair * SECOND) >> U(48)] == pair:
                    continue
                lately[(pair * SECOND) >> U(48)] = pair
                common = common_keys(keys, start[one], ends[0], keys, start[other], ends[1], share * both - 1e-9)
                jaccard = common / (both - common)
                if common < 0 or jaccard < threshold or group[one] != group[other]:
                    continue
                found[state[1], 0], found[state[1], 1], nearness[state[1]] = one, other, jaccard
                state[1] += 1
        if position[1] >= length:
            position[:] = 0
            state[0] += 1


@kernel
def keep_greedily(left: Array, right: Array, jaccard: Array, partner: Array, nearness: Array) -> None:
    """(kept row, similarity) nearest to each row that goes; pairs are ordered by `right`, left < right.

    Before, `partner` names each row itself and `nearness` is 1; so they stay for the rows that are kept.
    """
    place = 0
    while place < len(right):
        row, best, best_jaccard = right[place], -1, -1.0
        while place < len(right) and right[place] == row:
            other = left[place]
            if partner[other] == other and (jaccard[place] > best_jaccard or (jaccard[place] == best_jaccard and other < best)):
                best, best_jaccard = other, jaccard[place]
            place += 1
        if best >= 0:
            partner[row], nearness[row] = best, best_jaccard


@kernel
def root(parent: Array, row: int) -> int:
    """The row that stands for the set of `row`."""
    while parent[row] != row:
        parent[row] = parent[parent[row]]
        row = parent[row]
    return row


@kernel
def spanning(left: Array, right: Array, parent: Array, useful: Array) -> None:
    """Which of the pairs to keep so that they link the same rows into the same sets; `parent` names each row itself before."""
    for place in range(len(left)):
        one, other = root(parent, left[place]), root(parent, right[place])
        useful[place] = one != other
        parent[other] = one


@kernel
def jaccards(threshold: float, keys: Array, held: Any, other_keys: Array, other_held: Any, pairs: Array) -> Array:
    """J of each pair (row of one batch, row of another), or -1 below `threshold`; a batch's rows: (start, shape, sketch)."""
    (start, shape, sketch), (other_start, other_shape, other_sketch) = held, other_held
    share, apart = threshold / (1.0 + threshold), (1.0 - threshold) / (1.0 + threshold)
    found = np.full(len(pairs), -1.0)
    for place in range(len(pairs)):
        one, other = pairs[place, 0], pairs[place, 1]
        both, bits = shape[one, 1] + other_shape[other, 1], U(0)
        for word in range(4):
            bits += ones(sketch[one, word] ^ other_sketch[other, word])
        if np.int64(bits) > apart * both + 1e-9:
            continue
        end, other_end = start[one] + shape[one, 0], other_start[other] + other_shape[other, 0]
        common = common_keys(keys, start[one], end, other_keys, other_start[other], other_end, share * both - 1e-9)
        if common >= 0 and common / (both - common) >= threshold:
            found[place] = common / (both - common)
    return found
