"""Sources: every record of a file, directory or query becomes a row with an id for life, or goes to quarantine with its line and a reason.

    data: {path: reviews.csv}   ->   row_id r8c1f03e2a9d04b17 | source reviews.csv | line 212 | text "great phone" | label positive | ...

    places.py    data.path -> files and queries            formats/   one container each: csv, jsonl, parquet ... -> tables of text
    layout.py    what the columns mean                     layouts/   one layout each: text_label, messages ... -> text, answer, ...
    build.py     tables -> rows and quarantine             identity.py  ids from content

No record is lost: rows + not_selected + quarantine = records.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import chain

import numpy as np
import polars as pl

from tunewright.core.errors import DataError
from tunewright.core.files import fingerprint as _fingerprint
from tunewright.core.files import sha256_file
from tunewright.core.recipe import DataSettings
from tunewright.core.rows import ReadResult
from tunewright.sources.build import Builder, check_columns
from tunewright.sources.identity import digests_of
from tunewright.sources.layout import SAMPLE, Choice, choose
from tunewright.sources.place import Place
from tunewright.sources.places import Opened, open_data
from tunewright.sources.table import Table

__all__ = ["First", "fingerprint", "look", "read_batches", "read_columns", "read_rows"]

_GROWING = ("json", "jsonl")  # a later record may bring a column


@dataclass(frozen=True)
class First:
    """A first look at data that nobody has described yet."""

    places: list[Place]
    columns: pl.DataFrame
    choice: Choice


def read_rows(data: DataSettings) -> ReadResult:
    """Read all of `data`. Raises `DataError` when nothing can be read: no file, no rows, no such column, broken throughout."""
    opened = open_data(data)
    result = joined(list(_parts(opened, whole=True)))
    return result if opened.rows is None else _sampled(result, opened.rows)


def read_batches(data: DataSettings, batch_rows: int = 100_000) -> Iterator[ReadResult]:
    """The same rows as `read_rows`, in the same order, about `batch_rows` at a time, for data that does not fit in memory."""
    opened = open_data(data)
    if opened.rows is not None:
        raise DataError(f"data.dataset: {data.dataset} asks for {opened.rows} sampled rows (num_samples), which cannot be read in batches.")
    waiting: list[ReadResult] = []
    for part in _parts(opened, whole=False):
        waiting.append(part)
        while sum(len(one.rows) for one in waiting) >= batch_rows:
            full = joined(waiting)
            yield replace(full, rows=full.rows.head(batch_rows))
            waiting = [
                ReadResult(full.rows.slice(batch_rows), full.not_selected.clear(), full.quarantine.clear(), full.layout, full.evidence)
            ]
    if waiting:
        yield joined(waiting)


def joined(parts: Sequence[ReadResult]) -> ReadResult:
    """One result of several; a column that some do not have is null there."""
    frames = ([part.rows for part in parts], [part.not_selected for part in parts], [part.quarantine for part in parts])
    rows, rest, quarantine = (pl.concat(one, how="diagonal") if len(one) > 1 else one[0] for one in frames)
    return ReadResult(rows, rest, quarantine, parts[0].layout, parts[0].evidence)


def look(data: DataSettings, rows: int = SAMPLE) -> First:
    """The places, the first records with their own columns, and the layout that fits them."""
    opened = open_data(data)
    table = _sample(opened, rows)
    return First(opened.places, table.frame, choose(table, opened.data))


def read_columns(data: DataSettings) -> pl.DataFrame:
    """Every readable record with its own columns as text."""
    opened = open_data(data)
    tables = [table.frame for place in opened.places for table in place.read(opened.data)]
    columns: pl.DataFrame = pl.concat(tables, how="diagonal")
    return columns


def fingerprint(data: DataSettings) -> str:
    """Changes when what would be read changes: the bytes of files, the rows of a query (whose order does not count)."""
    opened = open_data(data)
    places = opened.places
    if len(places) == 1 and places[0].format != "sql":
        return sha256_file(places[0].file)
    return _fingerprint([[place.name, data.query, _content(place, opened.data)] for place in places])


def _content(place: Place, data: DataSettings) -> str:
    if place.format != "sql":
        return sha256_file(place.file)
    digests = [digests_of(table.frame) for table in place.read(data) if table.frame.width and len(table.lines)]
    return sha256(np.sort(np.concatenate(digests)).tobytes() if digests else b"").hexdigest()


def _sampled(result: ReadResult, rows: int) -> ReadResult:
    """At most `rows` of the rows, chosen by their ids, so that the same are chosen whatever their order is."""
    if len(result.rows) <= rows:
        return result
    rank = result.rows["row_id"].hash(seed=17).rank("ordinal")
    left_out = result.rows.filter(rank > rows)
    return replace(result, rows=result.rows.filter(rank <= rows), not_selected=pl.concat([result.not_selected, left_out], how="diagonal"))


def _parts(opened: Opened, whole: bool) -> Iterator[ReadResult]:
    data, places = opened.data, opened.places
    choice = choose(_sample(opened, SAMPLE), data)
    required = tuple(choice.layout.required(data).values())
    builder = Builder(data, choice)
    for place in places:
        tables: Iterable[Table] = place.read(data, required)
        if whole:
            tables = list(tables)
            names = _names(tables)
        elif place.format in _GROWING:
            names, tables = _names(tables), place.read(data, required)
        else:
            first = next(iter(tables))
            names, tables = first.frame.columns, chain([first], tables)
        known = names or _names(place.read(data))  # no record has the required fields: say which there are
        if known:
            check_columns(place, data, choice, known)
        for table in tables:
            yield builder.build(place, table.with_columns(names))
    builder.check(places[0].shown if len(places) == 1 else f"{len(places)} sources")


def _names(tables: Iterable[Table]) -> list[str]:
    return list(dict.fromkeys(name for table in tables for name in table.frame.columns))


def _sample(opened: Opened, rows: int) -> Table:
    """The first records, of the first place that has some."""
    empty = Table(pl.DataFrame(), pl.Series("line", [], dtype=pl.Int64))
    for place in opened.places:
        for table in place.read(opened.data):
            if len(table.lines):
                return table.head(rows)
            empty = table if table.frame.width else empty
    return empty
