"""The join of `neardup` in tasks that share a directory: beyond one machine's memory, or on several machines.

    found = join_partitioned([Path("a.parquet"), Path("b.parquet")], 0.5, executor, Path("spill"), partitions=16, workers=2)
    found.first, found.pairs, found.keep(0.5)       # as `TextJoin.near`; rows are numbered through all batches in their order

shingles of a batch -> copies by the hash of their words -> frequencies, summed -> entries dealt to partitions by their hash ->
candidates of a partition -> Jaccard of a batch's candidates. Every task reads files that earlier ones finished and writes its
own under a fixed name in one step, so a task that ran twice, or whose worker died, does no harm. The kernels are those of
`TextJoin` and so are the pairs, unless `capped` buckets (more than `CROWD` rows with one key) were cut down to some pairs a row.

A task holds one batch's shingles and the frequency table (at most 128 MB), or one partition's entries with the sketches of their
rows (32 bytes each), or the keys of two batches. The caller's process holds 8 bytes a row and 24 a pair of the answer, and decides on these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import polars as pl

from tunewright.core.errors import DataError
from tunewright.core.files import atomic_path
from tunewright.core.progress import Report
from tunewright.text.native import run
from tunewright.text.neardup import BATCH, PAIR_SCHEMA, Array, NearPairs, Shingled, most_shingles, power_of_two, ranked, shingled

MAX_SLOTS = 1 << 26
CROWD = 2000
FREQUENCIES = np.array([code if code < 32 else (16 + code % 16) << (code // 16 - 1) for code in range(256)])  # of `kernels.count_shingles`


class Executor(Protocol):
    """`core.executor.LocalExecutor`, or one of a cluster."""

    def map(self, fn: Callable[[Any, Report], Any], items: Sequence[Any], workers: int = 1) -> list[Any]: ...


@dataclass(frozen=True)
class Plan:
    """What every task is told."""

    batches: tuple[Path, ...]
    column: str
    directory: Path
    partitions: int
    threshold: float
    offsets: tuple[int, ...] = ()  # the number of each batch's first row, and the number of rows
    slots: int = 0  # of the frequency table

    def parts(self) -> list[tuple[Plan, int]]:
        return [(self, number) for number in range(self.partitions)]

    def each(self) -> list[tuple[Plan, int]]:
        return [(self, number) for number in range(len(self.batches))]

    def file(self, *names: str | int) -> Path:
        return self.directory / ("-".join(map(str, names)) + ".npy")


Item = tuple[Plan, int]


def join_partitioned(
    batches: Sequence[Path],
    threshold: float,
    executor: Executor,
    directory: Path,
    partitions: int = 16,
    workers: int = 1,
    column: str = "text",
) -> NearPairs:
    """The pairs with Jaccard >= `threshold` of all rows of parquet files, of which any higher threshold can be decided.

    `directory` must be seen by all workers; what it is left with is 16 bytes for each pair.
    Rows of 30 words take about 1 KB each there at the most (measured at 500,000 rows, threshold 0.5).
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold must be above 0 and at most 1, but got {threshold}")
    if partitions < 1:
        raise DataError(f"partitions must be at least 1, but got {partitions}")
    plan = Plan(tuple(batches), column, directory, partitions, threshold)
    sizes = executor.map(shingle_batch, plan.each(), workers)
    offsets = np.cumsum([0, *(rows for rows, _ in sizes)]).tolist()
    slots = min(MAX_SLOTS, power_of_two(2 * sum(shingles for _, shingles in sizes)))
    plan = replace(plan, offsets=tuple(offsets), slots=slots)
    executor.map(find_copies, plan.parts(), workers)
    executor.map(count_batch, plan.each(), workers)
    executor.map(sum_counts, plan.parts(), workers)
    _forget(plan, "counts", "same")
    executor.map(deal_batch, plan.each(), workers)
    _forget(plan, "shingles", "stops", "frequency")
    capped = sum(executor.map(find_candidates, plan.parts(), workers))
    _forget(plan, "entries")
    executor.map(measure_candidates, plan.each(), workers)
    found = _answer(plan, capped)
    _forget(plan, "candidates", "keys", "shape", "sketch", "copies")
    return found


def shingle_batch(item: Item, report: Report) -> tuple[int, int]:
    """Write a batch's shingles and the hashes of its rows' words; (rows, shingles)."""
    plan, batch = item
    texts = pl.read_parquet(plan.batches[batch], columns=[plan.column])[plan.column].cast(pl.String).fill_null("")
    part = shingled(texts, np.empty(most_shingles(texts), np.uint64))
    _write(plan.file("shingles", batch), part.shingles)
    _write(plan.file("stops", batch), part.stops)
    real = np.diff(part.stops, prepend=0) > 0
    for partition, rows in _dealt(part.same[:, 0], real, plan.partitions):
        _write(plan.file("same", partition, batch), np.column_stack([part.same[rows], rows.astype(np.uint64)]))
    return len(part.stops), len(part.shingles)


def find_copies(item: Item, report: Report) -> None:
    """Write for each batch which of its rows repeat an earlier row word for word, and which row that is."""
    plan, partition = item
    parts = [_read(plan.file("same", partition, batch)) for batch in range(len(plan.batches))]
    rows = np.concatenate([part[:, 2].astype(np.int64) + offset for part, offset in zip(parts, plan.offsets, strict=False)])
    words = np.concatenate([part[:, :2] for part in parts])
    frame = pl.DataFrame({"low": words[:, 0], "high": words[:, 1], "row": rows})
    copies = frame.with_columns(first=pl.col("row").first().over("low", "high")).filter(pl.col("row") != pl.col("first"))
    _write_by_batch(plan, "copies", partition, copies.select("row", "first").to_numpy().astype(np.int64))


def count_batch(item: Item, report: Report) -> None:
    """Write how often each shingle occurs in a batch's rows, copies left out."""
    plan, batch = item
    table = np.zeros(plan.slots, np.uint8)
    run("count_shingles", _read(plan.file("shingles", batch)), _read(plan.file("stops", batch)), _wanted(plan, batch), table)
    _write(plan.file("counts", batch), table)


def sum_counts(item: Item, report: Report) -> None:
    """Add up all batches' frequencies in one stretch of the table."""
    plan, partition = item
    edges = np.linspace(0, plan.slots, plan.partitions + 1).astype(np.int64)
    total = np.zeros(edges[partition + 1] - edges[partition], np.int64)
    for batch in range(len(plan.batches)):
        total += FREQUENCIES[_read(plan.file("counts", batch))[edges[partition] : edges[partition + 1]]]
    _write(plan.file("frequency", partition), (np.searchsorted(FREQUENCIES, total, side="right") - 1).astype(np.uint8))


def deal_batch(item: Item, report: Report) -> None:
    """Write a batch's keys, and its prefix entries to the partition that each belongs to by its hash."""
    plan, batch = item
    table = np.concatenate([_read(plan.file("frequency", partition)) for partition in range(plan.partitions)])
    part = Shingled(np.array(_read(plan.file("shingles", batch))), _read(plan.file("stops", batch)), np.empty((0, 2), np.uint64))
    keys, shape, sketch = ranked(part, _wanted(plan, batch), table)
    for name, values in (("keys", keys), ("shape", shape), ("sketch", sketch)):
        _write(plan.file(name, batch), values)
    held = (plan.threshold, keys, np.cumsum(shape[:, 0]) - shape[:, 0], shape, np.zeros(len(shape), np.uint64))
    counts = np.zeros(1, np.int64)
    run("count_entries", *held, counts)
    hashes, entries = np.empty(counts[0], np.uint64), np.empty((counts[0], 4), np.uint32)
    run("deal_entries", *held, np.zeros(1, np.int64), entries, hashes)
    for partition, places in _dealt(hashes, np.ones(len(hashes), np.bool_), plan.partitions):
        columns = hashes[places], entries[places, 1] + np.uint64(plan.offsets[batch]), entries[places, 2], entries[places, 3]
        _write(plan.file("entries", partition, batch), np.column_stack([one.astype(np.uint64) for one in columns]))


def find_candidates(item: Item, report: Report) -> int:
    """Write the pairs of rows that share a key of this partition and whose sizes and sketches allow the threshold; how many buckets
    were capped."""
    from tunewright.text.kernels_pairs import alike, stretch_pairs

    plan, partition = item
    entries = np.concatenate([_read(plan.file("entries", partition, batch)) for batch in range(len(plan.batches))])
    entries = entries[np.lexsort((entries[:, 2], entries[:, 0]))]  # those of one key together, its shortest rows first
    rows = entries[:, 1].astype(np.int64)
    known, place = np.unique(rows, return_inverse=True)
    sketch = _sketches(plan, known)
    facts = np.column_stack([np.zeros_like(place), place, entries[:, 2], entries[:, 3]]).astype(np.uint32)
    begin = np.append(np.flatnonzero(np.diff(entries[:, 0], prepend=~entries[:1, 0]) != 0), len(rows)).astype(np.int32)
    out, position = np.empty((BATCH + len(rows) + 1, 2), np.int32), np.zeros(4, np.int64)
    heads, share, apart = (
        np.empty(len(rows) + 1, np.int32),
        plan.threshold / (1 + plan.threshold),
        (1 - plan.threshold) / (1 + plan.threshold),
    )
    found = [np.empty((0, 2), np.int64)]
    while position[1] < len(rows):
        count = stretch_pairs(facts, len(facts), begin, position, share, CROWD, heads, out)
        pairs = rows[out[: alike(sketch, facts, out, count, apart)]]
        found.append(np.unique(np.sort(pairs, axis=1), axis=0))
    _write_by_batch(plan, "candidates", partition, np.concatenate(found))
    return int(position[3])


def measure_candidates(item: Item, report: Report) -> None:
    """Write the pairs, with their Jaccard similarity, whose earlier row is of this batch. Later rows are read batch by batch."""
    from tunewright.text.kernels_pairs import jaccards

    plan, batch = item
    pairs = np.unique(np.concatenate([_read(plan.file("candidates", one, batch)) for one in range(plan.partitions)]), axis=0)
    later = np.searchsorted(plan.offsets, pairs[:, 1], side="right") - 1
    keys, held = _keys(plan, batch)
    found = [pl.DataFrame(schema=PAIR_SCHEMA)]
    for other in np.unique(later).tolist():
        some = pairs[later == other]
        nearness = jaccards(plan.threshold, keys, held, *_keys(plan, other), some - [plan.offsets[batch], plan.offsets[other]])
        frame = pl.DataFrame({"left": some[:, 0], "right": some[:, 1], "jaccard": nearness})
        found.append(frame.filter(pl.col("jaccard") >= 0).cast(PAIR_SCHEMA))
    _write(plan.file("pairs", batch), pl.concat(found).to_numpy(structured=True))


def _answer(plan: Plan, capped: int) -> NearPairs:
    pairs = pl.concat([pl.DataFrame(np.asarray(_read(plan.file("pairs", batch)))).cast(PAIR_SCHEMA) for batch in range(len(plan.batches))])
    first = np.arange(plan.offsets[-1])
    for _, batch in plan.each():
        for partition in range(plan.partitions):
            copies = _read(plan.file("copies", partition, batch))
            first[copies[:, 0]] = copies[:, 1]
    return NearPairs(first, pairs.sort("right", "left"), plan.threshold, capped=capped)


def _wanted(plan: Plan, batch: int) -> Array:
    """Which of a batch's rows have words that no earlier row has in the same order."""
    wanted = np.diff(_read(plan.file("stops", batch)), prepend=0) > 0
    for partition in range(plan.partitions):
        wanted[_read(plan.file("copies", partition, batch))[:, 0] - plan.offsets[batch]] = False
    return wanted


def _keys(plan: Plan, batch: int) -> tuple[Array, tuple[Array, Array, Array]]:
    shape = _read(plan.file("shape", batch))
    return _read(plan.file("keys", batch)), (np.cumsum(shape[:, 0]) - shape[:, 0], shape, _read(plan.file("sketch", batch)))


def _sketches(plan: Plan, rows: Array) -> Array:
    """The sketches of `rows`, which are in order, from the batches that hold them."""
    edges = np.searchsorted(rows, plan.offsets)
    parts = [
        _read(plan.file("sketch", batch))[rows[edges[batch] : edges[batch + 1]] - plan.offsets[batch]] for batch in range(len(plan.batches))
    ]
    return np.concatenate(parts)


def _dealt(hashes: Array, wanted: Array, partitions: int) -> Iterator[tuple[int, Array]]:
    """(partition, places) of the wanted hashes, by their upper half."""
    owner = ((hashes >> np.uint64(32)) * np.uint64(partitions) >> np.uint64(32)).astype(np.int64)
    for partition in range(partitions):
        yield partition, np.flatnonzero(wanted & (owner == partition))


def _write_by_batch(plan: Plan, name: str, partition: int, rows: Array) -> None:
    """One file a batch: the lines whose first column is a row of it."""
    owner = np.searchsorted(plan.offsets, rows[:, 0], side="right") - 1
    for batch in range(len(plan.batches)):
        _write(plan.file(name, partition, batch), rows[owner == batch])


def _write(path: Path, values: Array) -> None:
    with atomic_path(path) as beside, open(beside, "wb") as file:
        np.save(file, values)


def _read(path: Path) -> Array:
    """A file's array, its pages read when they are touched. Changes would stay in memory: the kernels take writable arrays only."""
    return np.asarray(np.load(path, mmap_mode="c" if path.stat().st_size > 4096 else None))


def _forget(plan: Plan, *names: str) -> None:
    for name in names:
        for path in plan.directory.glob(f"{name}-*.npy"):
            path.unlink()
