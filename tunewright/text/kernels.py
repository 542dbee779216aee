"""The compiled loops of `neardup` that turn text into shingles. They are called through `native`, which keeps their machine code.

    b"Great phone, I"  ->  words great | phone, | i  ->  one shingle: 64 bits for the three words in this order

A word is read eight bytes at a time. Its blocks of bytes are told apart exactly (the last one carries a mark where it ends),
so two words share a hash only by chance: about 2^-64 a pair.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt

from tunewright.core.optional import require

Array = npt.NDArray[Any]
Function = TypeVar("Function", bound=Callable[..., Any])

U = np.uint64
ZERO, ONE = U(0), U(1)
MIX, SPREAD = U(0x94D049BB133111EB), U(0xBF58476D1CE4E5B9)
SECOND, THIRD = U(0x9E3779B97F4A7C15), U(0xF1357AEA2E62A9C5)
TOP_BITS, LOW_BITS = U(0x8080808080808080), U(0x7F7F7F7F7F7F7F7F)
FIRST_PRINTED, LETTER_A, AFTER_Z = U(0x2121212121212121), U(0x3F3F3F3F3F3F3F3F), U(0x2525252525252525)
NEVER = U(1 << 24)
ODDS = np.array([(1 << max(seen // 16, 1) - 1) - 1 for seen in range(255)] + [1 << 24], np.uint64)  # bits of a lot that must be 0
PLACES = U(0x0001020304050607)
LANES = 32  # as many comparisons are one step of a compiled loop


def kernel(function: Function) -> Function:
    """Compile, to run without the interpreter's lock. Divisions by zero give infinity, so that no loop can raise."""
    return cast(Function, require("numba", "audit").njit(function, cache=True, nogil=True, error_model="numpy"))


@kernel
def mix(value: Any) -> Any:
    """Spread 64 bits (the finaliser of splitmix64)."""
    value = (value ^ (value >> U(30))) * SPREAD
    value = (value ^ (value >> U(27))) * MIX
    return value ^ (value >> U(31))


@kernel
def _lower(block: Any) -> Any:
    """Eight bytes with A-Z in lower case."""
    seven = block & LOW_BITS
    return block | (((seven + LETTER_A) ^ (seven + AFTER_Z)) & ~block & TOP_BITS) >> U(2)


@kernel
def _eight(blocks: Array, place: int) -> Any:
    """The eight bytes from byte `place` on."""
    at, shift = place >> 3, U(8 * (place & 7))
    return (blocks[at] >> shift) | ((blocks[at + 1] << ONE) << (U(63) - shift))


@kernel
def _row_shingles(text: Array, place: Any, end: int, out: Array, filled: int, same: Array) -> int:
    """Write the row's shingles from out[filled] on; return where they end. `same` becomes the 128-bit hash of its words."""
    low, high = ONE, U(2)
    word, two, one = ZERO, ZERO, ZERO  # of the word being read and of the two before it
    words, inside = 0, False
    while place < end or inside:
        block = _eight(text, place)
        stops = ~((block | TOP_BITS) - FIRST_PRINTED) & ~block & TOP_BITS  # the top bit of every byte up to 32
        if end - place < 8:
            stops |= TOP_BITS << U(8 * (end - place))
        if stops == ZERO:
            block = _lower(block)
            word = mix(word + block)
            high = (high ^ block) * SECOND
            high ^= high >> U(29)
            inside = True
            place += 8
            continue
        mark = (stops & (~stops + ONE)) >> U(7)  # 256 to the power of the bytes before the first stop
        before = (mark * PLACES) >> U(56)
        stop = (block >> (U(8) * before)) & U(255)
        place += np.int64(before) + 1
        if place <= end and not (stop == U(32) or (U(9) <= stop <= U(13)) or stop >= U(28)):  # a control character is no space
            block = (_lower(block) & (mark - ONE)) | mark
            word = mix(word + block) + stop
            high = ((high ^ block) * SECOND) ^ stop
            inside = True
            continue
        if before == ZERO and not inside:
            continue
        block = (_lower(block) & (mark - ONE)) | mark
        high = (high ^ block) * SECOND
        high ^= high >> U(29)
        word = mix(word + block)
        low = (low ^ word) * MIX
        low ^= low >> U(31)
        out[filled] = word + one * SECOND + two * THIRD
        words += 1
        filled += words > 2
        word, one, two, inside = ZERO, word, one, False
    if words == 1 or words == 2:
        out[filled] = mix(one + two * SECOND + U(words))
        filled += 1
    same[0], same[1] = low, high
    return filled


@kernel
def shingle_rows(text: Array, ends: Array, odd: Array, odd_rows: Array, odd_ends: Array, out: Array, stops: Array, same: Array) -> None:
    """All rows' shingles, repeats included, into `out`; row r's end at stops[r]. Rows `odd_rows` are read from `odd` instead.

    `text` and `odd` are read eight bytes at a time, so each must go on for two blocks after its last row.
    """
    filled, start, odd_start, next_odd = 0, 0, 0, 0
    for row in range(len(ends)):
        if next_odd < len(odd_rows) and odd_rows[next_odd] == row:
            filled = _row_shingles(odd, odd_start, odd_ends[next_odd], out, filled, same[row])
            odd_start = odd_ends[next_odd]
            next_odd += 1
        else:
            filled = _row_shingles(text, start, ends[row], out, filled, same[row])
        start = ends[row]
        stops[row] = filled


@kernel
def first_with_same(same: Array, real: Array, slots: Array, first: Array) -> None:
    """first[r] = the first row with the same hash of words; a row without words is only its own. `slots`: 2^k times -1."""
    last = U(len(slots) - 1)
    for row in range(len(same)):
        first[row] = row
        if not real[row]:
            continue
        slot = same[row, 0] & last
        while slots[slot] >= 0 and (same[slots[slot], 0] != same[row, 0] or same[slots[slot], 1] != same[row, 1]):
            slot = (slot + ONE) & last
        if slots[slot] < 0:
            slots[slot] = row
        first[row] = slots[slot]


@kernel
def count_shingles(shingles: Array, stops: Array, wanted: Array, table: Array) -> None:
    """Add the rows `wanted` to `table`: how often a shingle occurs, by the low bits of its hash, as a number of eight bits.

    It is exact up to 31. From there on it stands for a binary exponent and four digits (32, 34 ... 62, 64, 68 ... 253,952) and grows
    once in 2, 4, 8 ... times, as a hash of the place says (Morris 1978). So it is an order from rare to frequent, and a shingle of
    two rows never seems to be of one.
    """
    last = U(len(table) - 1)
    begin = 0
    for row in range(len(stops)):
        if wanted[row]:
            for place in range(begin, stops[row]):
                seen = table[shingles[place] & last]
                lot = ((U(place) * SECOND) >> U(40)) | NEVER
                table[shingles[place] & last] = seen + ((lot & ODDS[seen]) == ZERO)
        begin = stops[row]


@kernel
def _sort_long(values: Array, count: int) -> None:
    """Shell's sort of the first `count` values: good enough on rows of a million words."""
    gap = 1
    while 9 * gap < 4 * count:
        gap = 9 * gap // 4 + 1
    while gap:
        for place in range(gap, count):
            value, at = values[place], place
            while at >= gap and values[at - gap] > value:
                values[at] = values[at - gap]
                at -= gap
            values[at] = value
        gap = 0 if gap == 1 else max(1, (gap - 1) * 4 // 9)


@kernel
def _sorted_distinct(values: Array, count: int, upper: Array, ranks: Array, out: Array, filled: int) -> int:
    """Write the first `count` values to out[filled] and on, in order and each once; return where they end.

    In a short row each value's place is the number of smaller ones: count^2 comparisons of upper halves, `LANES` at a time and
    without branches. They add up to 0 + 1 + ... when no two halves are equal; that is nearly every row.
    """
    if count <= len(ranks):
        for place in range(count):
            upper[place] = values[place] >> U(32)
        padded = (count + LANES - 1) & -LANES
        ranks[:padded] = 0
        for one in range(count):
            for other in range(padded):
                ranks[other] += upper[other] > upper[one]
        total = 0
        for place in range(count):
            out[filled + np.int64(ranks[place])] = values[place]
            total += ranks[place]
        if 2 * total == count * (count - 1):
            return filled + count
    _sort_long(values, count)
    for place in range(count):
        if place == 0 or values[place] != values[place - 1]:
            out[filled] = values[place]
            filled += 1
    return filled


@kernel
def rank_shingles(
    shingles: Array,
    stops: Array,
    wanted: Array,
    table: Array,
    shape: Array,
    sketch: Array,
    own: Array,
    seen: Array,
    upper: Array,
    ranks: Array,
    end: Array,
) -> None:
    """Rewrite `shingles` in place as the distinct shared ones of each row, rarest first; end[0] = how many are left.

    A shingle of one row only is nobody else's: it counts for the row's size and is not kept. A kept one is a key: its
    frequency (8 bits) before the upper 56 bits of its hash. The 8 lost bits make no pair wrong in practice: two rows of m
    words share a key by chance with a probability below m^2 / 2^56, that is 10^-14 for short rows.
    shape[r] = (kept shingles, distinct shingles); sketch[r] (256 bits) has a bit flipped for each distinct shingle.
    `own` has room for the longest row's shingles and one more, `seen` for them and `AHEAD`; `upper` and `ranks` for a short row's.
    Frequencies are looked up for many rows at a time, in a loop that does nothing else: so most waits for memory overlap.
    """
    last = U(len(table) - 1)
    begin, filled, ahead, row = 0, 0, 0, 0
    while row < len(stops):
        first, before = row, begin
        while row < len(stops) and stops[row] - before <= len(seen):
            row += 1
        ahead = stops[row - 1]
        for place in range(before, ahead):
            seen[place - before] = table[shingles[place] & last]
        for one in range(first, row):
            stop = stops[one]
            if wanted[one]:
                shared = 0
                for place in range(begin, stop):
                    hashed, frequency = shingles[place] >> U(8), seen[place - before]
                    own[shared] = (U(frequency) << U(56)) | hashed
                    shared += frequency > 1
                    sketch[one, (hashed >> U(6)) & U(3)] ^= ONE << (hashed & U(63))
                kept, size = filled, stop - begin
                filled = _sorted_distinct(own, shared, upper, ranks, shingles, filled)
                if filled - kept < shared:  # a key that repeats in the row, so it has been counted twice there and is among the shared
                    size -= shared - (filled - kept)
                    for place in range(shared):
                        sketch[one, (own[place] >> U(6)) & U(3)] ^= ONE << (own[place] & U(63))
                    for place in range(kept, filled):
                        sketch[one, (shingles[place] >> U(6)) & U(3)] ^= ONE << (shingles[place] & U(63))
                shape[one, 0], shape[one, 1] = filled - kept, size
            begin = stop
    end[0] = filled
