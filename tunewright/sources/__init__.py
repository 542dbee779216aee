"""Sources: every record of a file, directory or query becomes a row with an id for life, or goes to quarantine with its line and a reason.

    data: {path: reviews.csv}   ->   row_id r8c1f03e2a9d04b17 | source reviews.csv | line 212 | text "great phone" | label positive | ...

    places.py    data.path -> files and queries            formats/   one container each: csv, jsonl, parquet ... -> tables of text
    layout.py    what the columns mean                     layouts/   one layout each: text_label, messages ... -> text, answer, ...
    build.py     tables -> rows and quarantine             identity.py  ids from content

No record is lost: rows + not_selected + quarantine = records.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from tunewright.core.errors import DataError
from tunewright.core.files import fingerprint as _fingerprint
from tunewright.core.files import sha256_file
from tunewright.core.recipe import DataSettings
from tunewright.core.rows import ReadResult
from tunewright.sources.build import Builder, check_columns
from tunewright.sources.layout import SAMPLE, Choice, choose
from tunewright.sources.places import Place, find
from tunewright.sources.table import Table

__all__ = ["First", "fingerprint", "look", "read_batches", "read_columns", "read_rows"]


@dataclass(frozen=True)
class First:
    """A first look at data that nobody has described yet."""

    places: list[Place]
    columns: pl.DataFrame
    choice: Choice


def read_rows(data: DataSettings) -> ReadResult:
    """Read all of `data`. Raises `DataError` when nothing can be read: no file, no rows, no such column, broken throughout."""
    parts = list(_parts(data, whole=True))
    return joined(parts)


def read_batches(data: DataSettings, batch_rows: int = 100_000) -> Iterator[ReadResult]:
    """The same rows as `read_rows`, in the same order, about `batch_rows` at a time, for data that does not fit in memory."""
    waiting: list[ReadResult] = []
    for part in _parts(data, whole=False):
        waiting.append(part)
        while sum(len(one.rows) for one in waiting) >= batch_rows:
            full = joined(waiting)
            yield ReadResult(full.rows.head(batch_rows), full.not_selected, full.quarantine, full.layout, full.evidence)
            rest = full.rows.slice(batch_rows)
            waiting = (
                [ReadResult(rest, full.not_selected.clear(), full.quarantine.clear(), full.layout, full.evidence)] if len(rest) else []
            )
    if waiting:
        yield joined(waiting)


def joined(parts: Sequence[ReadResult]) -> ReadResult:
    """One result of several; a column that some do not have is null there."""
    first = parts[0]
    frames = ([part.rows for part in parts], [part.not_selected for part in parts], [part.quarantine for part in parts])
    rows, rest, quarantine = (pl.concat(one, how="diagonal") if len(one) > 1 else one[0] for one in frames)
    return ReadResult(rows, rest, quarantine, first.layout, first.evidence)


def look(data: DataSettings, rows: int = SAMPLE) -> First:
    """The places, the first records with their own columns, and the layout that fits them."""
    places = find(data)
    table = _sample(places, data, rows)
    return First(places, table.frame, choose(table, data))


def read_columns(path: str | Path) -> pl.DataFrame:
    """Every readable record with its own columns as text."""
    data = DataSettings(path=str(path))
    tables = [table.frame for place in find(data) for table in place.read(data)]
    columns: pl.DataFrame = pl.concat(tables, how="diagonal")
    return columns


def fingerprint(data: DataSettings) -> str:
    """Changes when what would be read changes: the bytes of files, the rows of a query."""
    places = find(data)
    if len(places) == 1 and places[0].format != "sql":
        return sha256_file(places[0].file)
    return _fingerprint([[place.name, sha256_file(place.file)] for place in places])


def _parts(data: DataSettings, whole: bool) -> Iterator[ReadResult]:
    places = find(data)
    choice = choose(_sample(places, data, SAMPLE), data)
    required = tuple(choice.layout.required(data).values())
    builder = Builder(data, choice)
    for place in places:
        if whole:
            tables: list[Table] | None = list(place.read(data, required))
            names = _names(tables or [])
        else:
            tables, names = None, _names(place.read(data, required))
        bad = next((bad for table in tables or [] for bad in table.bad), None)
        if not names and bad and bad.reason == "missing_field":
            raise DataError(f"{place.path}, line {bad.line}: {bad.detail}. Set data.text and data.label to the right fields.")
        if names or not bad:
            check_columns(place, data, choice, names)
        for table in tables if tables is not None else place.read(data, required):
            yield builder.build(place, table.with_columns(names))
    builder.check(places[0].path if len(places) == 1 else f"{len(places)} sources")


def _names(tables: Sequence[Table] | Iterator[Table]) -> list[str]:
    return list(dict.fromkeys(name for table in tables for name in table.frame.columns))


def _sample(places: Sequence[Place], data: DataSettings, rows: int) -> Table:
    """The first records, of the first place that has some."""
    empty = Table(pl.DataFrame(), pl.Series("line", [], dtype=pl.Int64))
    for place in places:
        for table in place.read(data):
            if len(table.lines):
                return table.head(rows)
            empty = table if table.frame.width else empty
    return empty
