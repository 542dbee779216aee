"""Ids for life. A row's id is the hash of its record's fields, and a counter for exact repeats:

    text "great phone" | label positive   ->   r8c1f03e2a9d04b17, the second such record r8c1f03e2a9d04b17-2

Sorting a file, cutting it in pieces or adding rows changes no id (docs/decisions/006).
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import xxhash

_HEX = np.frombuffer(b"0123456789abcdef", np.uint8)
_Digests = np.ndarray[Any, np.dtype[np.uint64]]
_Places = np.ndarray[Any, np.dtype[np.int64]]


class Identity:
    """Gives ids to record after record; remembers what it has seen (8 bytes a record) to count repeats."""

    def __init__(self) -> None:
        self._seen: list[_Digests] = []

    def of_frame(self, frame: pl.DataFrame) -> pl.Series:
        """Ids of the records in `frame`, whose columns are the record's fields."""
        return self._of_digests(digests_of(frame))

    def of_texts(self, texts: pl.Series) -> pl.Series:
        """`r` + 16 hex digits of each text's hash; the second of the same text gets `-2`, and so on."""
        return self._of_digests(_digests(texts))

    def occurrences(self, texts: pl.Series) -> pl.Series:
        """Which occurrence of its text each one is, those of earlier calls counted: 1 for the first."""
        return pl.Series("nth", self._counted(_digests(texts)))

    def _of_digests(self, digests: _Digests) -> pl.Series:
        ids = _shown(digests)
        nth = self._counted(digests)
        if (nth > 1).any():
            frame = pl.DataFrame({"id": ids, "nth": nth})
            ids = frame.select(pl.when(pl.col("nth") > 1).then(pl.format("{}-{}", "id", "nth")).otherwise("id").alias("id")).to_series()
        return ids.alias("row_id")

    def _counted(self, digests: _Digests) -> _Places:
        order = np.argsort(digests)
        nth = self._nth(digests, order)
        self._remember(digests[order])
        return nth

    def _nth(self, digests: _Digests, order: _Places) -> _Places:
        """Which occurrence of its digest each one is: 1 for the first."""
        nth = pl.DataFrame({"d": digests}).select((pl.int_range(pl.len()) + 1).over("d")).to_series().to_numpy().astype(np.int64)
        ordered = digests[order]
        for run in self._seen:
            first = np.searchsorted(run, ordered)
            known = np.flatnonzero(run[np.minimum(first, len(run) - 1)] == ordered)
            nth[order[known]] += np.searchsorted(run, ordered[known], "right") - first[known]
        return nth

    def _remember(self, run: _Digests) -> None:
        """Keep the sorted `run` and the earlier ones, each at least twice as long as the next, so that there are few and merging is cheap."""
        while self._seen and len(self._seen[-1]) < 2 * len(run):
            run = np.sort(np.concatenate([self._seen.pop(), run]), kind="stable")
        self._seen.append(run)


def digests_of(frame: pl.DataFrame) -> _Digests:
    """The hash of each record's fields."""
    return _digests(frame.select(pl.concat_str(pl.all().fill_null("\x00"), separator="\x1f")).to_series())


def _digests(texts: pl.Series) -> _Digests:
    array = texts.to_arrow(compat_level=pl.CompatLevel.oldest())
    chunks = array.chunks if isinstance(array, pa.ChunkedArray) else [array]
    found = [_of_chunk(chunk) for chunk in chunks]
    return np.concatenate(found) if found else np.empty(0, np.uint64)


def _of_chunk(array: Any) -> _Digests:
    _, offsets, data = array.cast(pa.large_string()).buffers()
    places = np.frombuffer(offsets, np.int64)[array.offset : array.offset + len(array) + 1].tolist()
    letters = memoryview(data) if data is not None else memoryview(b"")
    of = xxhash.xxh3_64_intdigest
    return np.fromiter((of(letters[start:end]) for start, end in pairwise(places)), np.uint64, len(array))


def _shown(digests: _Digests) -> pl.Series:
    """`r` and 16 hex digits for each, written straight into an Arrow buffer."""
    count = len(digests)
    bytes_ = digests.astype(">u8").view(np.uint8).reshape(count, 8)
    text = np.empty((count, 17), np.uint8)
    text[:, 0] = ord("r")
    text[:, 1::2] = _HEX[bytes_ >> 4]
    text[:, 2::2] = _HEX[bytes_ & 15]
    offsets = np.arange(count + 1, dtype=np.int64) * 17
    array = pa.LargeStringArray.from_buffers(count, pa.py_buffer(offsets), pa.py_buffer(text))
    return pl.Series(pl.from_arrow(array), dtype=pl.String)
