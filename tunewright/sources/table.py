"""What every reader hands over: columns of text, the line of each record, and the records that could not be read.

Table(frame=text|label, lines=[2, 3, 7], bad=[Bad(4, "ragged_line", "3 fields where the header has 2", "a,b,c")])
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

RAW_LIMIT = 2000
_encode = json.JSONEncoder(ensure_ascii=False).encode


@dataclass(frozen=True)
class Bad:
    """A record that stays out: the line it starts on, a reason slug, the explanation, and what the file holds there."""

    line: int
    reason: str
    detail: str
    raw: str


@dataclass(frozen=True)
class Table:
    """Some records of one source. `frame`: its own columns, all String, lists and objects as JSON; `lines`: Int64, one a record.
    `nested` says of a column which values were lists or objects; a column that is not in it has none. `added`
    columns were not in the record, and have no part in its id."""

    frame: pl.DataFrame
    lines: pl.Series
    bad: list[Bad] = field(default_factory=list)
    nested: Mapping[str, pl.Series] = field(default_factory=dict)
    added: tuple[str, ...] = ()

    def described(self, renamed: Mapping[str, str], added: Mapping[str, str]) -> Table:
        """With other names for some columns, and columns of one value each where the records have none of that name."""
        frame = self.frame.rename({old: new for old, new in renamed.items() if old in self.frame.columns and new not in self.frame.columns})
        more = {name: value for name, value in added.items() if name not in frame.columns}
        frame = frame.with_columns(pl.lit(value, pl.String).alias(name) for name, value in more.items())
        nested = {renamed.get(name, name): flags for name, flags in self.nested.items()}
        return Table(frame, self.lines, self.bad, nested, tuple(more))

    def with_columns(self, names: list[str]) -> Table:
        """The same records with exactly these columns, in this order."""
        if self.frame.columns == names:
            return self
        own = set(self.frame.columns)
        full = self.frame.select(pl.col(name) if name in own else pl.lit(None, pl.String).alias(name) for name in names)
        return Table(full if own & set(names) else _nulls(names, len(self.lines)), self.lines, self.bad, self.nested, self.added)

    def head(self, count: int) -> Table:
        """The first records."""
        nested = {name: flags.head(count) for name, flags in self.nested.items()}
        return Table(self.frame.head(count), self.lines.head(count), self.bad, nested, self.added)


def _nulls(names: list[str], height: int) -> pl.DataFrame:
    return pl.DataFrame({name: pl.Series(name, [None] * height, dtype=pl.String) for name in names})


def numbers(values: Iterable[int] | np.ndarray[Any, Any]) -> pl.Series:
    """Line numbers as a column."""
    return pl.Series("line", values if isinstance(values, np.ndarray) else list(values), dtype=pl.Int64)


def of_objects(objects: list[tuple[int, dict[str, Any]]], bad: list[Bad]) -> Table:
    """A table of JSON objects with their lines; a value that is neither text nor null becomes its JSON."""
    names = list(dict.fromkeys(name for _, one in objects for name in one))
    columns: dict[str, pl.Series] = {}
    nested: dict[str, pl.Series] = {}
    for name in names:
        values = [one.get(name) for _, one in objects]
        kinds = set(map(type, values))
        if kinds & {dict, list}:
            nested[name] = pl.Series(name, [type(value) in (dict, list) for value in values], dtype=pl.Boolean)
        if kinds - {str, type(None)}:
            values = [as_text(value) for value in values]
        columns[name] = pl.Series(name, values, dtype=pl.String)
    return Table(pl.DataFrame(columns), numbers(line for line, _ in objects), bad, nested)


def as_text(value: Any) -> str | None:
    """Text as it is, null as null, anything else as JSON."""
    if value is None or isinstance(value, str):
        return value
    if type(value) is int:
        return str(value)
    return _encode(value)


def is_broken(text: str) -> bool:
    """True when the text holds half a surrogate pair: bytes that did not decode, or an escape that is no character."""
    if text.isascii():
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def visible(text: str) -> str:
    """Broken bytes as U+FFFD, so that the text can be stored; long text cut."""
    return text[:RAW_LIMIT].encode("utf-8", "surrogatepass").decode("utf-8", "replace")
