"""How much a text repeats itself: the compiled loops of the check `repetition`. One row of numbers a text and kind:

    "so so so so good"   ->  loop  share 0.67 | times 4 | bytes 0 to 11

loop    the longest stretch in which the same one to eight words follow each other again and again (what a model that never stops writes)
ngram   the two, three or four words that take most of the text (Gopher's "top n-gram", Rae et al. 2021, table A1, arXiv:2112.11446)
lines   lines that have stood there before (Gopher, and C4: Raffel et al. 2020)
run     the longest run of one letter or digit

Shares are of the bytes of words (loop, ngram), of lines (lines), of all bytes (run). A word is a run of letters and digits; each
character of a script without spaces is one. Only the first `WORDS` words of a text are looked at.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from tunewright.text.kernels import kernel

KINDS = ("loop", "ngram", "lines", "run")
WORDS, PERIODS, SLOTS = 4096, 8, 1 << 14
Array = npt.NDArray[Any]
PRIME = np.uint64(0x9E3779B97F4A7C15)


def repeats(texts: pl.Series, least: float) -> pl.DataFrame:
    """row, kind, share, times, words, start, end (bytes) of each text that repeats itself: at least three times and this share of it."""
    arrow = texts.fill_null("").rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    ends = np.frombuffer(arrow.buffers()[1], np.int64)[arrow.offset : arrow.offset + len(texts) + 1]
    text = np.frombuffer(arrow.buffers()[2], np.uint8) if arrow.buffers()[2] is not None and ends[-1] else np.zeros(1, np.uint8)
    out = np.zeros((len(texts), len(KINDS), 4), np.float64)
    words = np.zeros(len(texts), np.int64)
    _measure(text, ends, out, words, np.empty(WORDS, np.uint64), np.empty((WORDS, 2), np.int64), np.zeros((SLOTS, 2), np.uint64))
    row, kind = np.nonzero((out[:, :, 0] >= least) & (out[:, :, 1] >= 3))
    share, times, start, end = out[row, kind].T
    columns = {"row": row.astype(np.uint32), "kind": np.array(KINDS, dtype=object)[kind], "share": share, "times": times.astype(np.int64)}
    columns |= {"words": words[row], "start": start.astype(np.int64), "end": end.astype(np.int64)}
    return pl.DataFrame(columns, schema_overrides={"kind": pl.String})


@kernel
def _measure(text: Array, ends: Array, out: Array, words: Array, hashes: Array, places: Array, table: Array) -> None:
    """Fill `out` (row, kind: share, times, first byte, last byte) and `words`; the other arrays are scratch."""
    stamp = np.uint64(0)
    for row in range(len(ends) - 1):
        start, end = ends[row], ends[row + 1]
        count, letters, newlines = _words(text, start, end, hashes, places, out[row, 3])
        words[row] = count
        if count >= 3:
            _loop(hashes, places, count, letters, 1, out[row, 0])
            for size in range(2, 5):
                stamp += np.uint64(1)
                if _ngram(hashes, places, count, size, letters, table, stamp, out[row, 1]) < 3:
                    break
                if size == 2:  # a longer loop says some two words three times
                    for period in range(2, PERIODS + 1):
                        _loop(hashes, places, count, letters, period, out[row, 0])
        if newlines >= 2:
            stamp += np.uint64(1)
            _lines(text, start, end, table, stamp, out[row, 2])
        for kind in range(4):
            out[row, kind, 2] -= start
            out[row, kind, 3] -= start


@kernel
def _words(text: Array, start: int, end: int, hashes: Array, places: Array, run: Array) -> tuple[int, int, int]:
    """Hash and place of each word; (words, their bytes, line feeds). `run` becomes that of the longest run of one letter."""
    count, letters, newlines, length, before, longest = 0, 0, 0, 0, 0, 0
    word, begun = np.uint64(0), -1
    for place in range(start, end):
        byte = text[place]
        if byte - 65 < 26 and byte >= 65:
            byte += 32
        plain = (97 <= byte <= 122) or (48 <= byte <= 57)
        length = length + 1 if byte == before and plain else 1
        before = byte
        if length > longest:
            longest = length
            run[2], run[3] = place + 1 - length, place + 1
        newlines += byte == 10
        alone = 0xE3 <= byte <= 0xED or byte == 0xF0  # leads a character of a script without spaces, or a pictograph
        if begun >= 0 and (alone or not (plain or byte >= 0x80)):
            if count < len(hashes):
                hashes[count], places[count, 0], places[count, 1] = word, begun, place
                count += 1
                letters += place - begun
            begun = -1
        if plain or byte >= 0x80:
            if begun < 0:
                begun, word = place, np.uint64(0)
            word = (word ^ np.uint64(byte)) * PRIME
            word ^= word >> np.uint64(29)
    if begun >= 0 and count < len(hashes):
        hashes[count], places[count, 0], places[count, 1] = word, begun, end
        count += 1
        letters += end - begun
    if longest >= 8:
        run[0], run[1] = longest / (end - start), longest
    return count, letters, newlines


@kernel
def _loop(hashes: Array, places: Array, count: int, letters: int, period: int, out: Array) -> None:
    """The stretch with the most bytes in which every word is the one `period` words before; `out` keeps the largest."""
    same = 0
    for place in range(period, count + 1):
        if place < count and hashes[place] == hashes[place - period]:
            same += 1
            continue
        times = (same + period) // period
        if times >= 3:
            covered = 0
            for one in range(place - same - period, place):
                covered += places[one, 1] - places[one, 0]
            if covered / letters > out[0]:
                out[0], out[1] = covered / letters, times
                out[2], out[3] = places[place - same - period, 0], places[place - 1, 1]
        same = 0


@kernel
def _ngram(hashes: Array, places: Array, count: int, size: int, letters: int, table: Array, stamp: Any, out: Array) -> int:
    """The most frequent `size` words; how often they occur. Their bytes over all bytes is the share; `out` keeps the largest."""
    slots, most, best = 64, 0, 0
    while slots < 2 * count:  # a short row keeps to the beginning of the table, which stays in the cache
        slots *= 2
    last = np.uint64(slots - 1)
    for place in range(count - size + 1):
        key = np.uint64(0)
        for one in range(place, place + size):
            key = (key ^ hashes[one]) * PRIME
            key ^= key >> np.uint64(31)
        slot = key & last
        while table[slot, 1] >> np.uint64(16) == stamp and table[slot, 0] != key:
            slot = (slot + np.uint64(1)) & last
        if table[slot, 1] >> np.uint64(16) != stamp:
            table[slot, 0], table[slot, 1] = key, stamp << np.uint64(16)
        table[slot, 1] += np.uint64(1)
        times = int(table[slot, 1] & np.uint64(0xFFFF))
        if times > most:
            most, best = times, place
    if most >= 3:
        length = 0
        for one in range(best, best + size):
            length += places[one, 1] - places[one, 0]
        share = min(1.0, most * length / letters)
        if share > out[0]:
            out[0], out[1], out[2], out[3] = share, most, places[best, 0], places[best + size - 1, 1]
    return most


@kernel
def _lines(text: Array, start: int, end: int, table: Array, stamp: Any, out: Array) -> None:
    """Lines (of at least eight bytes that are no white space) that stood there before, over all such lines."""
    last = np.uint64(len(table) - 1)
    lines, again = 0, 0
    key, length, begun = np.uint64(0), 0, start
    for place in range(start, end + 1):
        if place < end and text[place] != 10:
            if text[place] > 32:
                key = (key ^ np.uint64(text[place])) * PRIME
                key ^= key >> np.uint64(29)
                length += 1
            continue
        if length >= 8 and lines < len(table) // 2:
            lines += 1
            slot = key & last
            while table[slot, 1] >> np.uint64(16) == stamp and table[slot, 0] != key:
                slot = (slot + np.uint64(1)) & last
            if table[slot, 1] >> np.uint64(16) == stamp:
                again += 1
                out[2], out[3] = begun, place
            else:
                table[slot, 0], table[slot, 1] = key, stamp << np.uint64(16)
        key, length, begun = np.uint64(0), 0, place + 1
    if lines:
        out[0], out[1] = again / lines, again + 1
