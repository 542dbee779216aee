"""A layout says what the fields of a record mean to a model. Which one a file has is told from its columns and a sample, with evidence:

    layout sharegpt: column conversations holds lists of {from, value} in 1,000 of 1,000 sampled rows

`data.layout` overrides the guess. Each layout is one file in `layouts/`: `detect` and `convert`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any, ClassVar

import polars as pl

from tunewright.core import plugins
from tunewright.core.errors import DataError
from tunewright.core.plugins import Part
from tunewright.core.recipe import DataSettings
from tunewright.sources.chat import NotAChat
from tunewright.sources.table import Table

SAMPLE = 1000
REASON, DETAIL = "__reason", "__detail"
_One = Callable[[dict[str, str | None], dict[str, bool]], dict[str, Any]]


class Layout(Part):
    """What a record's fields mean. A column setting that is null takes the first of the usual names (`usual`) that the file has."""

    usual: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    needed: ClassVar[tuple[str, ...]] = ()  # settings whose columns must be there
    weak: ClassVar[bool] = False  # gives way to any other layout that fits

    @abstractmethod
    def detect(self, sample: Table, data: DataSettings) -> str | None:
        """The evidence that records are of this layout, or None. Settings are bound to the sample's columns before."""

    @abstractmethod
    def convert(self, table: Table, data: DataSettings) -> pl.DataFrame:
        """One line for each record: the columns `text`, [label], [answer], [rejected], [messages], [tools] that the layout has, and
        `REASON` and `DETAIL`, null when the record is fine."""

    def bound(self, columns: Sequence[str]) -> Layout:
        """This layout with every column setting filled in from what the file has."""
        names = {
            key: next((one for one in usual if one in columns), None) for key, usual in self.usual.items() if getattr(self, key) is None
        }
        return self.model_copy(update=names)

    def uses(self, data: DataSettings) -> dict[str, str]:
        """Place in the recipe -> column, of every column that `convert` reads."""
        return {f"data.layout.{key}": name for key in self.usual if (name := getattr(self, key)) is not None}

    def required(self, data: DataSettings) -> dict[str, str]:
        """The part of `uses` that must be there."""
        return {place: name for place, name in self.uses(data).items() if place.rsplit(".", 1)[1] in self.needed}


@dataclass(frozen=True)
class Choice:
    """The layout to read with, and why."""

    layout: Layout
    evidence: str


def choose(sample: Table, data: DataSettings) -> Choice:
    """The layout that `data.layout` names, or the one that fits the sample. Raises `DataError` when two fit."""
    columns = sample.frame.columns
    if data.layout != "auto":
        layout: Layout = plugins.build("layouts", data.layout).bound(columns)
        there = set(layout.uses(data).values()) <= set(columns)
        why = (layout.detect(sample, data) if there else None) or "the sampled rows do not look like it"
        return Choice(layout, f"layout {layout.part_name()}: {why} (set by data.layout)")
    every: list[Layout] = [plugins.build("layouts", name).bound(columns) for name in plugins.names("layouts")]
    text_label = next(one for one in every if one.part_name() == "text_label")
    found = [Choice(one, f"layout {one.part_name()}: {evidence}") for one in every if (evidence := one.detect(sample, data))]
    named = {"text", "label"} <= data.model_fields_set
    if named and (wanted := [one for one in found if one.layout.part_name() == "text_label"]):
        return wanted[0]
    found = [one for one in found if not one.layout.weak] or found
    if len(found) > 1:
        both = "\n".join(f"  {one.evidence}" for one in found)
        names = " or ".join(one.layout.part_name() for one in found)
        raise DataError(f"data.layout: more than one layout fits.\n{both}\nSet data.layout to {names}.")
    return found[0] if found else Choice(text_label, "layout text_label: nothing else fits the columns")


def counted(fit: int, looked: int) -> str:
    """'in 998 of 1,000 sampled rows'."""
    return f"in {fit:,} of {looked:,} sampled rows"


def plain(table: Table, name: str) -> tuple[pl.Series, pl.Series]:
    """Column `name` as text, and what is wrong with each value: a list or an object where text is needed."""
    values = table.frame[name]
    nested = table.nested.get(name)
    if nested is None:
        return values, pl.repeat(None, len(values), dtype=pl.String, eager=True)
    return values, pl.select(pl.when(nested).then(pl.lit("not_text"))).to_series().alias(REASON)


def blank(column: str) -> pl.Expr:
    """True for null and for white space."""
    return pl.col(column).str.strip_chars().fill_null("") == ""


def present(layout: Layout, table: Table) -> dict[str, str]:
    """Column settings of `layout` -> columns, of those that the table has."""
    return {key: name for key in layout.usual if (name := getattr(layout, key)) is not None and name in table.frame.columns}


def by_row(table: Table, given: Mapping[str, str], one: _One, schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """`one` applied to each record: to its values by setting (`given`: setting -> column), and to whether each was a list or an object.
    It returns values for the columns of `schema`, or raises `NotAChat` for a record that cannot be used."""
    lists = [table.frame[name].to_list() for name in given.values()]
    flags = [table.nested[name].to_list() if name in table.nested else repeat(False) for name in given.values()]
    first, found = next(iter(given)), []
    for values, nested in zip(zip(*lists, strict=True), zip(*flags, strict=False), strict=False):
        row = dict(zip(given, values, strict=True))
        try:
            found.append(one(row, dict(zip(given, nested, strict=True))))
        except NotAChat as error:
            found.append({"text": row[first], REASON: error.reason, DETAIL: str(error)})
    return pl.DataFrame(found, schema=dict(schema) | {REASON: pl.String(), DETAIL: pl.String()}, orient="row")
