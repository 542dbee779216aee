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
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from tunewright.core.cores import cores
from tunewright.text.native import run
from tunewright.text.repair import UNSPACED

Array = npt.NDArray[Any]

ALL, LINKS, KEEP, TABLE = 0, 1, 2, 3  # what the join looks for: every pair, enough to link each set, what to drop, a bounded table
CHUNK_BYTES = 1 << 24
MAX_SLOTS = 1 << 26
PER_ROW = 16
AHEAD = 4096  # shingles whose frequency is looked up at a time
SHORT = 64  # shingles of a row that are sorted by counting
BATCH = 4096  # pairs that are looked for at a time
STRETCH = 1 << 15  # entries that are joined at a time: they fit the cache of one core
Found = tuple[Array, Array, Array, int]  # earlier row, later row, jaccard; rows that found a table full
PAIR_SCHEMA = pl.Schema({"left": pl.UInt32, "right": pl.UInt32, "jaccard": pl.Float64})
KEEP_SCHEMA = pl.Schema({"row": pl.UInt32, "kept": pl.UInt32, "jaccard": pl.Float64})
OTHER_SPACE = "[\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]"


def normalise(text: str) -> str:
    """Words in one form, separated by one space: NFC, casefold, white space folded, unspaced scripts cut into characters."""
    return " ".join(_one_form(text).split())


def _one_form(text: str) -> str:
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())
    return re.sub(f"([{UNSPACED}])", r" \1 ", folded)


class TextJoin:
    """The rows of one text column, cut into shingles once and ready to be joined at any threshold.

    Every answer can be given within groups (`groups`: one value a row, null a value of its own): then only rows of equal value
    are compared, and rows that repeat one another word for word in two groups are not copies.
    """

    def __init__(self, texts: pl.Series) -> None:
        texts = texts.cast(pl.String).fill_null("")
        pieces = [texts[slice(*cut)] for cut in _chunks(texts.str.len_bytes())]
        edges = np.cumsum([0, *map(most_shingles, pieces)]).tolist()
        self._keys = np.empty(edges[-1], np.uint64)  # memory that is never written to is never used
        rooms = [self._keys[begin:end] for begin, end in pairwise(edges)]
        with ThreadPoolExecutor(min(cores(), 4)) as pool:
            parts = list(pool.map(shingled, pieces, rooms))
            real = np.concatenate([np.diff(part.stops, prepend=0) > 0 for part in parts])
            self.first = np.empty(len(texts), np.int64)
            slots = np.full(power_of_two(2 * len(texts)), -1, np.int64)
            run("first_with_same", np.concatenate([part.same for part in parts]), real, slots, self.first)
            self._real, alone = real, real & (self.first == np.arange(len(texts)))
            table = np.zeros(min(MAX_SLOTS, power_of_two(2 * sum(len(part.shingles) for part in parts))), np.uint8)
            wanted = np.split(alone, np.cumsum([len(part.stops) for part in parts])[:-1])
            for part, rows in zip(parts, wanted, strict=True):
                run("count_shingles", part.shingles, part.stops, rows, table)
            ranks = list(pool.map(lambda part, rows: ranked(part, rows, table)[1:], parts, wanted))
        self._shape, self._sketch = (np.concatenate(one) for one in zip(*ranks, strict=True))
        starts = [begin + np.cumsum(shape[:, 0]) - shape[:, 0] for begin, (shape, _) in zip(edges, ranks, strict=False)]
        self._start = np.concatenate(starts)

    def __len__(self) -> int:
        return len(self.first)

    def pairs(self, threshold: float, groups: pl.Series | None = None) -> pl.DataFrame:
        """Every pair of rows with Jaccard >= `threshold` as (left < right, jaccard), ordered.

        A row that repeats another word for word stands in one pair only, with the first such row. The answer may be
        quadratic in the rows; `keep`, `links`, `components` and `near` never are.
        """
        return self._with_copies(ALL, threshold, groups).sort("left", "right")

    def keep(self, threshold: float, groups: pl.Series | None = None) -> pl.DataFrame:
        """Rows to drop, in order, each with the kept row that it is nearest to (J >= `threshold`).

        Rows are taken in their order: a row is kept unless it is near to a row kept before, so no two kept rows are near.
        """
        first = self._first_in(groups)
        kept, row, jaccard, _ = self._join(KEEP, threshold, groups, first)
        partner, nearness = np.arange(len(self)), np.ones(len(self))
        partner[row], nearness[row] = kept, jaccard
        return _dropped(first, partner, nearness)

    def links(self, threshold: float, groups: pl.Series | None = None) -> pl.DataFrame:
        """A few of `pairs`, at most one less than there are rows, that link the same rows into the same sets."""
        return self._with_copies(LINKS, threshold, groups).sort("right", "left")

    def components(self, threshold: float, groups: pl.Series | None = None) -> npt.NDArray[np.int64]:
        """A set number for each row: equal for rows that a chain of pairs with J >= `threshold` links."""
        linked = self.links(threshold, groups)
        return clusters(len(self), linked["left"].to_numpy(), linked["right"].to_numpy())

    def near(self, floor: float, per_row: int = PER_ROW) -> NearPairs:
        """The pairs with Jaccard >= `floor`, at most `per_row` for each row on average, from which any higher threshold is decided."""
        left, right, jaccard, cut = self._join(TABLE, floor, None, self.first, per_row)
        pairs = pl.DataFrame([left, right, jaccard], schema=["left", "right", "jaccard"]).cast(PAIR_SCHEMA)
        return NearPairs(self.first, pairs.sort("right", "left"), floor, cut)

    def _by_size(self, rows: Array) -> Array:
        sizes = self._shape[self.first[rows], 1]
        return rows[np.argsort(sizes.astype(np.uint16) if sizes.max(initial=0) < 1 << 16 else sizes, kind="stable")]

    def _held(self, rows: Array, groups: pl.Series | None) -> Any:
        """All that the kernels look at: keys; and of each of `rows` where its keys begin, shape, sketch, group, number."""
        group = np.zeros(len(rows), np.uint64) if groups is None else _codes(groups)[rows]
        origin = self.first[rows]
        return self._keys, self._start[origin], self._shape[origin], self._sketch[origin], group, rows

    def _first_in(self, groups: pl.Series | None) -> Array:
        """For each row the first row of its group with the same words."""
        return self.first if groups is None else first_of_group(self.first, groups)

    def _with_copies(self, mode: int, threshold: float, groups: pl.Series | None) -> pl.DataFrame:
        first = self._first_in(groups)
        found = self._join(mode, threshold, groups, first)[:3]
        copies = np.flatnonzero(first != np.arange(len(first)))
        columns = [np.concatenate(both) for both in zip(found, (first[copies], copies, np.ones(len(copies))), strict=True)]
        return pl.DataFrame(columns, schema=["left", "right", "jaccard"]).cast(PAIR_SCHEMA)

    def _join(self, mode: int, threshold: float, groups: pl.Series | None, first: Array, per_row: int | None = None) -> Found:
        """The pairs that `mode` wants: picked from all pairs, or, when these are too many, found by visiting rows in order."""
        if not 0 < threshold <= 1:
            raise ValueError(f"threshold must be above 0 and at most 1, but got {threshold}")
        rows = np.flatnonzero(self._real & (first == np.arange(len(first))))
        limit = np.iinfo(np.int64).max if mode == ALL else (PER_ROW if per_row is None else per_row) * len(rows)
        found, crowded = _all_pairs(threshold, self._held(self._by_size(rows), groups), limit)
        if crowded:
            return _in_order(mode, threshold, self._held(rows, groups), limit)
        if mode == KEEP:
            partner, nearness = _kept(len(first), *found)
            gone = np.flatnonzero(partner != np.arange(len(first)))
            return partner[gone], gone, nearness[gone], 0
        if mode == LINKS:
            useful = np.empty(len(found[0]), np.bool_)
            run("spanning", *found[:2], np.arange(len(first)), useful)
            return found[0][useful], found[1][useful], found[2][useful], 0
        return *found, 0


@dataclass(frozen=True)
class NearPairs:
    """The near pairs of a join, each word-for-word copy left to `first`: measured once, decided at any threshold from `floor` on.

    `cut` rows found the table full and stand in it with their nearest earlier row only; `capped` buckets of a partitioned
    join were too large for all their pairs. When both are 0, `keep` is exactly `TextJoin.keep`. Otherwise every dropped row
    still has a kept row of its own with J >= threshold, but some rows may be kept that are near to each other, all of them
    from crowds of rows that are near to one another (`cut`) or have a key in common (`capped`).
    """

    first: Array
    pairs: pl.DataFrame
    floor: float
    cut: int = 0
    capped: int = 0

    def keep(self, threshold: float, groups: pl.Series | None = None) -> pl.DataFrame:
        """Rows to drop as in `TextJoin.keep`, without another join."""
        pairs, first = self._from(threshold), self.first
        if groups is not None:
            first = first_of_group(first, groups)
            pairs = _spread(pairs, self.first, first, _codes(groups))
        columns = (pairs[name].cast(kind).to_numpy() for name, kind in (("left", pl.Int64), ("right", pl.Int64), ("jaccard", pl.Float64)))
        return _dropped(first, *_kept(len(first), *columns))

    def components(self, threshold: float) -> npt.NDArray[np.int64]:
        """A set number for each row as in `TextJoin.components`."""
        pairs, copies = self._from(threshold), np.flatnonzero(self.first != np.arange(len(self.first)))
        left, right = (np.concatenate(both) for both in ((pairs["left"], self.first[copies]), (pairs["right"], copies)))
        return clusters(len(self.first), left, right)

    def _from(self, threshold: float) -> pl.DataFrame:
        if not self.floor <= threshold <= 1:
            raise ValueError(f"threshold must be from the measured floor {self.floor} to 1, but got {threshold}")
        return self.pairs.filter(pl.col("jaccard") >= threshold)


@dataclass(frozen=True)
class Shingled:
    """One stretch of rows: all shingles, repeats included; where each row's end; a 128-bit hash of each row's words."""

    shingles: Array
    stops: Array
    same: Array


def most_shingles(texts: pl.Series) -> int:
    """At most so many shingles are in these rows: a word takes a byte and a space, or a character of more than one byte."""
    sizes, characters = texts.str.len_bytes(), texts.str.len_chars()
    odd = int(sizes.filter(sizes != characters).sum())
    return (int(sizes.sum()) + odd) // 2 + 2 * len(texts) + 2


def shingled(texts: pl.Series, room: Array) -> Shingled:
    """Cut rows into shingles in `room`, straight from their bytes; only rows with non-ASCII text pass through Python."""
    places = (texts.str.len_bytes() != texts.str.len_chars()).arg_true()
    # One call for all rows: a line break joins them, which none has inside after this replacement and no later step makes or removes.
    lines = texts.gather(places).str.replace_all("\n", " ", literal=True).str.replace_all("\r", " ", literal=True)
    folded = re.sub(OTHER_SPACE, " ", _one_form("\n".join(lines.to_list())))
    odd = _blocks(pl.Series(folded.split("\n") if len(places) else [], dtype=pl.String))
    stops, same = np.empty(len(texts), np.int64), np.empty((len(texts), 2), np.uint64)
    run("shingle_rows", *_blocks(texts), odd[0], places.to_numpy().astype(np.int64), odd[1], room, stops, same)
    return Shingled(room[: stops[-1] if len(stops) else 0], stops, same)


def ranked(part: Shingled, rows: Array, table: Array) -> tuple[Array, Array, Array]:
    """(keys, shape, sketch) of `kernels.rank_shingles` for those of the stretch's rows that are True in `rows`."""
    shape, sketch, end = np.zeros((len(rows), 2), np.int64), np.zeros((len(rows), 4), np.uint64), np.zeros(1, np.int64)
    longest = int(np.diff(part.stops, prepend=0).max(initial=0))
    scratch = np.empty(1 + longest, np.uint64), np.empty(longest + AHEAD, np.uint8), *np.empty((2, SHORT), np.uint32)
    run("rank_shingles", part.shingles, part.stops, rows, table, shape, sketch, *scratch, end)
    return part.shingles[: end[0]], shape, sketch


def _kept(rows: int, left: Array, right: Array, jaccard: Array) -> tuple[Array, Array]:
    """(kept row, similarity) nearest to each row that goes, itself and 1 otherwise."""
    partner, nearness = np.arange(rows), np.ones(rows)
    run("keep_greedily", left, right, jaccard, partner, nearness)
    return partner, nearness


def _all_pairs(threshold: float, held: Any, limit: int) -> tuple[tuple[Array, Array, Array], bool]:
    """((earlier row, later row, jaccard) by later row, False), or whether there are more than `limit` pairs. Rows must come by size."""
    keys, start, shape, sketch, group, rows = held
    counts = np.zeros(power_of_two(int(shape[:, 0].sum()) // STRETCH), np.int64)
    run("count_entries", threshold, keys, start, shape, group, counts)
    stop, widest = np.cumsum(counts) - counts, int(counts.max())
    entries = np.empty((counts.sum(), 4), np.uint32)
    run("deal_entries", threshold, keys, start, shape, group, stop, entries, np.empty(0, np.uint64))
    buckets = np.empty(power_of_two(widest + 1) + 1, np.int32), np.empty((widest, 4), np.uint32), np.empty(widest + 1, np.int32)
    pairs, lately = np.empty((BATCH + widest + 1, 2), np.int32), np.zeros(1 << 16, np.uint64)
    position, state = np.zeros(4, np.int64), np.array([0, 0, 0, limit])
    found, nearness = np.empty((2 * len(pairs), 2), np.int64), np.empty(2 * len(pairs))
    held = (keys, start, shape, sketch, group, entries, stop, *buckets, pairs, lately, position, state)
    while True:
        run("all_pairs", threshold, *held, found, nearness)
        crowded = state[1] > limit or state[2] // 2 > limit
        if crowded or state[0] == len(stop):
            break
        found, nearness = (np.concatenate([one, np.empty_like(one)]) for one in (found, nearness))
    one, other = rows[found[: 0 if crowded else state[1]]].T
    left, right = np.minimum(one, other), np.maximum(one, other)
    _, order = np.unique((right << 32) | left, return_index=True)
    return (left[order], right[order], nearness[order]), crowded


def _in_order(mode: int, threshold: float, held: Any, limit: int) -> Found:
    from tunewright.text.kernels_join import fill_buckets, join_rows, open_buckets

    counts = np.zeros(power_of_two(int(held[2][:, 0].sum()) // 4), np.int32)
    fill_buckets(threshold, held, counts)
    room = open_buckets(counts)
    found: Found = join_rows(mode, threshold, held, room, np.empty((counts.sum(), 3), np.int32), limit)
    return found


def first_of_group(first: Array, groups: pl.Series) -> npt.NDArray[np.int64]:
    """`first` within each group: the first row with the same words and the same group."""
    frame = pl.DataFrame({"first": first, "group": _codes(groups)}).with_row_index("row")
    return frame.select(pl.col("row").first().over("first", "group"))["row"].to_numpy().astype(np.int64)


def keep_by_label(texts: pl.Series, labels: pl.Series, threshold: float) -> pl.DataFrame:
    """`TextJoin.keep` among rows of one label: a text that says nearly the same and means another is not a copy."""
    return TextJoin(texts).keep(threshold, labels)


def clusters(rows: int, left: Array, right: Array) -> npt.NDArray[np.int64]:
    """Number the connected sets of `rows` rows under the links left[i] - right[i], in order of their first rows."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(left), np.int8), (left, right)), shape=(rows, rows))
    numbers = connected_components(graph, directed=False)[1]
    _, first, inverse = np.unique(numbers, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse].astype(np.int64)


def _codes(groups: pl.Series) -> npt.NDArray[np.uint64]:
    """A number for each value: where it occurs first."""
    frame = pl.DataFrame({"group": groups}).with_row_index("row")
    return frame.select(pl.col("row").first().over("group"))["row"].to_numpy().astype(np.uint64)


def _dropped(first: Array, partner: Array, nearness: Array) -> pl.DataFrame:
    """The rows that go: those with another row as partner, and what repeats them word for word."""
    copies = np.flatnonzero(first != np.arange(len(first)))
    partner[copies], nearness[copies] = partner[first[copies]], nearness[first[copies]]
    rows = np.flatnonzero(partner != np.arange(len(first)))
    return pl.DataFrame([rows, partner[rows], nearness[rows]], schema=["row", "kept", "jaccard"]).cast(KEEP_SCHEMA)


def _spread(pairs: pl.DataFrame, first: Array, first_in_group: Array, group: Array) -> pl.DataFrame:
    """Pairs of texts as pairs of rows: one for each group that both texts occur in."""
    rows = np.flatnonzero(first_in_group == np.arange(len(first)))
    held = pl.DataFrame({"text": first[rows], "group": group[rows], "row": rows}).cast({"text": pl.UInt32, "row": pl.UInt32})
    both = pairs.join(held, left_on="left", right_on="text").join(held, left_on=["right", "group"], right_on=["text", "group"])
    lower, upper = pl.min_horizontal("row", "row_right"), pl.max_horizontal("row", "row_right")
    return both.select(left=lower, right=upper, jaccard="jaccard").sort("right", "left")


def power_of_two(least: int) -> int:
    """The smallest power of two that is at least `least`, and at least 16."""
    return 1 << max(4, (least - 1).bit_length())


def _chunks(sizes: pl.Series) -> list[tuple[int, int]]:
    """Cut the rows into stretches of about `CHUNK_BYTES`."""
    number = np.cumsum(sizes.to_numpy(), dtype=np.int64) // CHUNK_BYTES
    edges = [0, *(np.flatnonzero(np.diff(number)) + 1).tolist(), len(sizes)]
    return list(pairwise(edges))


def _blocks(texts: pl.Series) -> tuple[Array, Array]:
    """The bytes of all rows end to end, eight to a number and two numbers to spare, and where each row ends."""
    ends = np.cumsum(texts.str.len_bytes().to_numpy(), dtype=np.int64)
    padded = pl.concat([texts, pl.Series([" " * (23 - int(ends[-1] if len(ends) else 0) % 8)], dtype=pl.String)])
    text = padded.cast(pl.Binary).cast(pl.List(pl.UInt8)).explode(empty_as_null=False).to_numpy()
    blocks = np.require(text[: len(text) // 8 * 8].view(np.uint64), requirements="A")
    return blocks, ends
