"""parquet: read column by column, never row by row; lists and structs become JSON.

text string | label int64   ->   text "great phone" | label "1" | line 1 (the first row)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl

from tunewright.core.errors import DataError
from tunewright.core.recipe import DataSettings
from tunewright.sources.place import Place
from tunewright.sources.table import Table, numbers

ENDINGS = ("parquet", "pq")
BATCH = 131_072


def read(place: Place, data: DataSettings, required: tuple[str, ...] = ()) -> Iterator[Table]:
    """Tables of at most `BATCH` rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(place.file) as file:
            yield from of_batches(place, iter(file.iter_batches(BATCH)), pa.Table.from_batches([], file.schema_arrow))
    except (pa.ArrowException, pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"{place.path}: cannot be read as parquet ({error}).") from error


def of_batches(place: Place, batches: Iterator[Any], empty: Any) -> Iterator[Table]:
    """Tables from Arrow record batches; lines count the rows. An empty table with the columns comes first."""
    yield of_frame(place, _frame(empty), 1)
    line = 1
    for batch in batches:
        frame = _frame(batch)
        yield of_frame(place, frame, line)
        line += len(frame)


def _frame(batch: Any) -> pl.DataFrame:
    """Polars columns of Arrow ones; a database's own types (numeric, json) as what they are stored as."""
    import pyarrow as pa

    columns = [column.storage if isinstance(column, pa.ExtensionArray) else column for column in _arrays(batch)]
    names = batch.schema.names
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"column {twice[0]!r} is given {names.count(twice[0])} times. Rename one of them.")
    frame = pl.from_arrow(pa.table(columns, names=names))
    assert isinstance(frame, pl.DataFrame)
    return frame


def _arrays(batch: Any) -> list[Any]:
    return [column.combine_chunks() if hasattr(column, "combine_chunks") else column for column in batch.columns]


def of_frame(place: Place, frame: pl.DataFrame, first: int) -> Table:
    """`frame` with every column as text."""
    nested: dict[str, pl.Series] = {}
    columns = []
    for column in frame:
        kind = column.dtype
        if kind == pl.Binary or (kind == pl.Object):
            raise DataError(f"{place.path}: column {column.name!r} holds bytes. Store it as text, or leave it out of the file.")
        if kind.is_nested():
            nested[column.name] = column.is_not_null()
            columns.append(_as_json(place, column))
        elif column.name in place.classes:
            names = place.classes[column.name]
            columns.append(column.cast(pl.Int64).replace_strict(dict(enumerate(names)), default=None, return_dtype=pl.String))
        else:
            columns.append(column.cast(pl.String))
    return Table(pl.DataFrame(columns), numbers(np.arange(first, first + len(frame), dtype=np.int64)), [], nested)


def _as_json(place: Place, column: pl.Series) -> pl.Series:
    """JSON of a list or struct column; null stays null. Fields that are null in a struct are fields the record did not have."""
    try:
        whole = column.to_frame("v").select(pl.struct("v").struct.json_encode().alias("j")).to_series()
    except pl.exceptions.PolarsError as error:
        raise DataError(f"{place.path}: column {column.name!r} ({column.dtype}) cannot be read as JSON ({error}).") from error
    text = whole.str.slice(5).str.head(-1)
    return pl.select(pl.when(column.is_not_null()).then(text)).to_series().alias(column.name)
