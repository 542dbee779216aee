"""What several checks need of the same rows, made once: the duplicate join, an order to sample in; and excerpts."""

from __future__ import annotations

import shutil
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

import polars as pl

from tunewright.core.executor import workers_for
from tunewright.core.files import write_parquet
from tunewright.core.parts import Look
from tunewright.core.rows import compared

if TYPE_CHECKING:
    from tunewright.text.neardup import NearPairs, TextJoin

EXCERPT = 200
FLOOR = 0.3  # similarity of the pairs that a join beyond memory keeps, when nobody asks for another
JOIN_BATCH, SCAN_BATCH = 250_000, 100_000
Made = TypeVar("Made")
Frame = TypeVar("Frame", pl.DataFrame, pl.LazyFrame)


@dataclass
class _Once:
    lock: Lock = field(default_factory=Lock)
    made: list[Any] = field(default_factory=list)


_frames: dict[int, dict[str, _Once]] = {}
_lock = Lock()


def once(rows: Frame, name: str, make: Callable[[Frame], Made]) -> Made:
    """`make(rows)`, made by the first check that asks and given to the others, as long as this frame lives."""
    with _lock:
        if id(rows) not in _frames:
            _frames[id(rows)] = {}
            weakref.finalize(rows, _frames.pop, id(rows), None).atexit = False
        entry = _frames[id(rows)].setdefault(name, _Once())
    with entry.lock:
        if not entry.made:
            entry.made.append(make(rows))
    made: Made = entry.made[0]
    return made


def forget(name: str | None = None) -> None:
    """Free what `once` holds, all of it or that of one name; the frames themselves may live on."""
    with _lock:
        for entries in list(_frames.values()):  # one that is freed meanwhile leaves the table
            for one in list(entries) if name is None else [name]:
                entries.pop(one, None)


def joined(rows: pl.DataFrame) -> TextJoin:
    """The duplicate join of `rows`, by text and free-text answer. A check that asks for it says `shares = "joined"`."""

    def make(rows: pl.DataFrame) -> TextJoin:
        from tunewright.text.neardup import TextJoin

        return TextJoin(compared(rows))

    return once(rows, "joined", make)


def joined_scan(rows: pl.LazyFrame, look: Look, floor: float | None = None) -> NearPairs:
    """The pairs of rows that do not fit in memory, from `floor` on; without a floor whatever another check asked for."""
    made = once(rows, "joins", lambda _: dict[float, "NearPairs"]())
    if floor is None and made:
        return next(iter(made.values()))
    floor = FLOOR if floor is None else floor
    if floor not in made:
        made[floor] = _join_scan(rows, look, floor)
    return made[floor]


def _join_scan(rows: pl.LazyFrame, look: Look, floor: float) -> NearPairs:
    from tunewright.text.partitioned import join_partitioned

    assert look.directory is not None
    folder = look.directory / "join"
    shutil.rmtree(folder, ignore_errors=True)
    batches: list[Path] = []
    columns = [name for name in ("text", "answer", "messages") if name in rows.collect_schema()]
    while len(part := rows.select(columns).slice(len(batches) * JOIN_BATCH, JOIN_BATCH).collect()):
        batches.append(folder / f"{len(batches):06d}.parquet")
        write_parquet(batches[-1], compared(part).alias("text").to_frame())
    try:
        return join_partitioned(batches, floor, look.executor, folder, workers=workers_for(look.recipe.compute, look.executor))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def rows_at(rows: pl.DataFrame | pl.LazyFrame, places: pl.Series) -> pl.DataFrame:
    """Those rows, in their order, with their places as column `row`."""
    if isinstance(rows, pl.DataFrame):
        return rows[places.sort()].with_columns(row=places.sort())
    known = pl.LazyFrame({"row": places.cast(pl.UInt32)})
    return rows.with_row_index("row").join(known, on="row", how="semi").sort("row").collect(engine="streaming")


def sampled(rows: pl.DataFrame, number: int, wanted: pl.Expr | None = None) -> pl.DataFrame:
    """`number` rows for which `wanted` holds, as good as drawn, in the order of the rows.

    They are those whose ids come first in an order that no one chose (of their hashes), so a row that is looked at today is looked
    at tomorrow, whatever the other rows are and however they are sorted. `wanted` is tried on as many rows as it takes.
    """
    if len(rows) <= number:
        return rows if wanted is None else rows.filter(wanted)
    order = once(rows, "order", lambda rows: rows["row_id"].hash(17).arg_sort())
    if wanted is None:
        return rows[order[:number].sort()]
    found, start, stretch = [rows.clear()], 0, 2 * number
    while start < len(rows) and sum(map(len, found)) < number:
        places = order[start : start + stretch]
        found.append(rows[places].with_columns(__place=places).filter(wanted))
        start, stretch = start + stretch, 2 * stretch
    return pl.concat(found, how="diagonal").head(number).sort("__place").drop("__place")


def first_rows(rows: pl.LazyFrame, number: int, wanted: pl.Expr | None = None) -> pl.DataFrame:
    """What `sampled` would draw of rows that do not fit in memory: of them 4 bytes each are held, and the rows that are drawn."""

    def make(rows: pl.LazyFrame) -> pl.DataFrame:
        order = once(rows, "order", lambda rows: rows.select(pl.col("row_id").hash(17)).collect()["row_id"].arg_sort().cast(pl.UInt32))
        if wanted is None:
            return rows_at(rows, order[:number]).drop("row")
        found, start, stretch = [rows.head(0).with_row_index("row").collect()], 0, 2 * number
        while start < len(order) and sum(map(len, found)) < number:
            told = rows_at(rows, order[start : start + stretch]).filter(wanted)
            places = pl.DataFrame({"row": order[start : start + stretch]})
            found.append(places.join(told, on="row", maintain_order="left"))
            start, stretch = start + stretch, 2 * stretch
        return pl.concat(found, how="vertical_relaxed").head(number).sort("row").drop("row")

    return once(rows, f"first {number} {wanted}", make)


def batches_of(rows: pl.LazyFrame, *columns: str | pl.Expr) -> Iterator[pl.DataFrame]:
    """Rows that do not fit in memory, one batch after the other; one without rows where there are none."""
    chosen, start = rows.select(*columns), 0
    part = chosen.head(SCAN_BATCH).collect()
    yield part
    while len(part) == SCAN_BATCH:
        start += SCAN_BATCH
        if len(part := chosen.slice(start, SCAN_BATCH).collect()):
            yield part


def excerpt(text: str = "text") -> pl.Expr:
    """The beginning of a text column, on one line."""
    shown = pl.col(text).str.head(EXCERPT + 100).str.replace_all(r"\s+", " ").str.strip_chars()
    return pl.when(shown.str.len_chars() > EXCERPT).then(shown.str.head(EXCERPT) + "…").otherwise(shown)
