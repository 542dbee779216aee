"""The compiled loops of `neardup` that find all pairs at once, a stretch of the prefix entries that fits the cache at a time.

An entry is a key of a row's prefix: (hash of key and group, row, its distinct shingles, how many of its keys come from there on).
Entries are first dealt out to stretches by their hash, so each random access that follows stays within one stretch.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from tunewright.text.kernels import SECOND, THIRD, U, kernel

Array = npt.NDArray[Any]
# Keys of all rows end to end; and, for each row to join: where its keys begin, (keys, distinct shingles), sketch, group, number.
Held = tuple[Array, Array, Array, Array, Array, Array]
Entries = tuple[Array, Array]  # hashes, (row, distinct shingles, keys from there on)

BATCH = 4096
CHAIN = 16


@kernel
def grown(values: Array) -> Array:
    larger = np.empty(2 * len(values), values.dtype)
    larger[: len(values)] = values
    return larger


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
def count_entries(threshold: float, held: Held, counts: Array) -> None:
    """counts[s] = entries of stretch s, by the upper bits of their hash."""
    keys, start, shape, _, group, _ = held
    shift = U(64) - U(math.log2(len(counts)))
    for row in range(len(start)):
        for place in range(start[row], start[row] + prefix_length(shape[row, 0], shape[row, 1], threshold)):
            counts[entry_hash(keys[place], group[row]) >> shift] += 1


@kernel
def deal_entries(threshold: float, held: Held, stop: Array, entries: Entries) -> None:
    """Write each entry to the next place of its stretch; `stop` are the stretches' beginnings before and their ends after."""
    keys, start, shape, _, group, _ = held
    hashes, facts = entries
    shift = U(64) - U(math.log2(len(stop)))
    for row in range(len(start)):
        shared, size = shape[row, 0], shape[row, 1]
        for place in range(prefix_length(shared, size, threshold)):
            hashed = entry_hash(keys[start[row] + place], group[row])
            at = stop[hashed >> shift]
            hashes[at] = hashed
            facts[at, 0], facts[at, 1], facts[at, 2] = row, size, shared - place
            stop[hashed >> shift] = at + 1


@kernel
def sort_into_buckets(entries: Entries, shift: Any, begin: Array, hashes: Array, facts: Array) -> None:
    """Copy a stretch's entries to (hashes, facts) in the order of buckets, and within a bucket of rows. Bucket b starts at begin[b]."""
    given, given_facts = entries
    last = U(len(begin) - 2)
    begin[:] = 0
    for hashed in given:
        begin[((hashed >> shift) & last) + U(1)] += 1
    for b in range(1, len(begin)):
        begin[b] += begin[b - 1]
    for place in range(len(given) - 1, -1, -1):
        b = ((given[place] >> shift) & last) + U(1)
        begin[b] -= 1
        at = begin[b]
        hashes[at] = given[place]
        facts[at, 0], facts[at, 1], facts[at, 2] = given_facts[place, 0], given_facts[place, 1], given_facts[place, 2]
    for b in range(len(begin) - 1):
        begin[b] = begin[b + 1]
    begin[-1] = len(given)


@kernel
def bucket_pairs(hashes: Array, facts: Array, heads: Array, later: int, share: float, out: Array, count: int) -> int:
    """Write (head, later) for those of the entries `heads` that can make a pair with entry `later`.

    The key must be the same, and enough keys must come from there on in both rows: a pair with enough common keys has one
    of them before that point in both (the prefix filter for that pair's own sizes). No branches: most entries fail.
    """
    hashed, size, rest = hashes[later], facts[later, 1], facts[later, 2]
    for head in heads:
        out[count, 0], out[count, 1] = head, later
        enough = min(rest, facts[head, 2]) >= share * (facts[head, 1] + size) - 1e-9
        count += enough & (hashes[head] == hashed)
    return count


@kernel
def stretch_pairs(hashes: Array, facts: Array, begin: Array, position: Array, share: float, crowd: int, heads: Array, out: Array) -> int:
    """Write pairs of entries of one stretch to `out` until there are `BATCH`; `position`: (bucket, entry, heads) to go on with.

    Within a bucket rows come by size. The smaller row of a pair must have the key among those that would do for a partner
    of its own size: only such entries become heads. From `crowd` heads on, a row is compared with the first `CHAIN` and
    the last `CHAIN` of them only, and position[3] counts the bucket.
    """
    bucket, later, count_heads, _ = position
    count = 0
    while later < len(hashes) and count < BATCH:
        while begin[bucket + 1] <= later:
            bucket, count_heads = bucket + 1, 0
        if count_heads < crowd:
            count = bucket_pairs(hashes, facts, heads[:count_heads], later, share, out, count)
        else:
            count = bucket_pairs(hashes, facts, heads[:CHAIN], later, share, out, count)
            count = bucket_pairs(hashes, facts, heads[count_heads - CHAIN : count_heads], later, share, out, count)
        heads[count_heads] = later
        more = facts[later, 2] >= 2.0 * share * facts[later, 1] - 1e-9
        position[3] += more and count_heads + 1 == crowd
        count_heads += more
        later += 1
    position[0], position[1], position[2] = bucket, later, count_heads
    return count


@kernel
def alike(sketch: Array, facts: Array, pairs: Array, count: int, apart: float) -> int:
    """Keep the pairs whose sketches differ in few enough bits; rows differ in at least as many shingles (Sandes et al. 2017)."""
    left = 0
    for place in range(count):
        one, other = pairs[place, 0], pairs[place, 1]
        row, near = facts[one, 0], facts[other, 0]
        bits = U(0)
        for word in range(4):
            bits += ones(sketch[row, word] ^ sketch[near, word])
        pairs[left, 0], pairs[left, 1] = one, other
        left += np.int64(bits) <= apart * (facts[one, 1] + facts[other, 1]) + 1e-9
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
def stretch_bits(stop: Array) -> Any:
    """(entries of the widest stretch, bits that number its buckets)."""
    widest = stop[0]
    for stretch in range(1, len(stop)):
        widest = max(widest, stop[stretch] - stop[stretch - 1])
    return widest, max(1, math.ceil(math.log2(widest + 1)))


@kernel
def all_pairs(threshold: float, held: Held, entries: Entries, stop: Array, limit: int) -> Any:
    """(row, row, J) of every pair, some more than once: in another bucket that both are in. Rows must come by size.

    A pair that was compared lately is passed over. Gives up when there are more than `limit` pairs, or twice as many
    comparisons; the last value says whether it did.
    """
    keys, start, shape, sketch, group, rows = held
    share, apart = threshold / (1.0 + threshold), (1.0 - threshold) / (1.0 + threshold)
    left, right, nearness, found, merges = np.empty(64, np.int64), np.empty(64, np.int64), np.empty(64), 0, 0
    widest, bits = stretch_bits(stop)
    shift = U(64) - U(math.log2(len(stop))) - U(bits)
    begin, heads = np.empty((1 << bits) + 1, np.int32), np.empty(widest + 1, np.int32)
    hashes, facts = np.empty(widest, np.uint64), np.empty((widest, 3), np.int32)
    pairs, position = np.empty((BATCH + widest + 1, 2), np.int32), np.zeros(4, np.int64)
    lately = np.zeros(1 << 16, np.uint64)
    for stretch in range(len(stop)):
        from_, to = stop[stretch - 1] if stretch else 0, stop[stretch]
        sort_into_buckets((entries[0][from_:to], entries[1][from_:to]), shift, begin, hashes, facts)
        position[:] = 0
        while position[1] < to - from_ and found <= limit and merges // 2 <= limit:
            count = stretch_pairs(hashes[: to - from_], facts, begin, position, share, len(hashes) + 1, heads, pairs)
            count = alike(sketch, facts, pairs, count, apart)
            merges += count
            for place in range(count):
                one, other = facts[pairs[place, 0], 0], facts[pairs[place, 1], 0]
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
                if found == len(left):
                    left, right, nearness = grown(left), grown(right), grown(nearness)
                left[found], right[found], nearness[found] = rows[one], rows[other], jaccard
                found += 1
    return left[:found], right[:found], nearness[:found], found > limit or merges // 2 > limit


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
