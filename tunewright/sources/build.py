"""From tables to rows: ids, the layout's columns, `data.where`, and quarantine for what has no use.

text|label|review of line 3   ->   row_id r8c1f... | source reviews.csv | line 3 | text ... | label positive | review amazon_7
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from tunewright.core.errors import DataError
from tunewright.core.recipe import DataSettings
from tunewright.core.rows import QUARANTINE_SCHEMA, RESERVED, ReadResult
from tunewright.core.settings import did_you_mean
from tunewright.sources.identity import Identity
from tunewright.sources.layout import DETAIL, REASON, Choice
from tunewright.sources.place import Place
from tunewright.sources.table import RAW_LIMIT, Bad, Table

_FRONT = ("row_id", "source", "line")
WEIGHT = "weight"
_OURS = ("text", "label", "answer", "rejected", "messages", "tools", WEIGHT)
_BAD_LIMIT = 0.5


class Builder:
    """Builds rows of table after table, and keeps the counts that decide whether a source is usable at all."""

    def __init__(self, data: DataSettings, choice: Choice) -> None:
        self.data, self.choice = data, choice
        self._ids, self._bad_ids = Identity(), Identity()
        self.records = self.unreadable = self.selected = self.unusable = self.kept = 0
        self._worst: tuple[Place, Bad] | None = None
        self._first_unusable: tuple[Any, ...] | None = None

    def build(self, place: Place, table: Table) -> ReadResult:
        """The rows of `table`, whose columns must be all of its place's columns."""
        self.records += len(table.lines) + len(table.bad)
        self.unreadable += len(table.bad)
        self._worst = self._worst or next(((place, bad) for bad in table.bad), None)
        if not len(table.lines):
            nothing = pl.DataFrame(schema={name: QUARANTINE_SCHEMA[name] for name in _FRONT})
            return ReadResult(nothing, nothing, self._quarantine(place, table.bad), self.choice.layout.part_name(), self.choice.evidence)
        if not table.frame.width:
            raise DataError(f"{place.shown}: the records have no fields.")
        ids = self._row_ids(place, table)
        converted = _weighed(table, self.choice.layout.convert(table, self.data))
        selected = table.frame.select(pl.all_horizontal(pl.lit(True), *_conditions(self.data))).to_series()
        if len(selected) != len(table.lines):
            selected = pl.repeat(bool(selected[0]), len(table.lines), dtype=pl.Boolean, eager=True)
        frame = self._named(place, table, ids, converted)
        fine = converted[REASON].is_null()
        rows, rest = frame.filter(selected & fine), frame.filter(~selected)
        unusable = self._unusable(frame, converted, selected & ~fine)
        self.selected += int(selected.sum())
        self.kept += len(rows)
        self.unusable += len(unusable)
        self._first_unusable = self._first_unusable or next(unusable.iter_rows(), None)
        quarantine = pl.concat([self._quarantine(place, table.bad), unusable])
        return ReadResult(rows, rest, quarantine, self.choice.layout.part_name(), self.choice.evidence)

    def check(self, shown: str) -> None:
        """Raise `DataError` when there is nothing to work with: no rows, mostly unreadable, none selected, none usable."""
        if self.records == 0:
            raise DataError(f"{shown}: the file holds no rows.")
        if self.unreadable > _BAD_LIMIT * self.records and self._worst:
            place, worst = self._worst
            raise DataError(
                f"{place.shown}: {self.unreadable} of {self.records} records cannot be read, the first on line {worst.line}: "
                f"{worst.detail}. Check data.format and data.encoding; nothing was changed."
            )
        if self.selected == 0:
            raise DataError(f"{shown}: data.where {self.data.where} selects none of the {self.records - self.unreadable} rows.")
        if self.kept == 0 and self._first_unusable:
            _, _, line, reason, detail, _ = self._first_unusable
            if reason == "missing_label":
                raise DataError(f"{shown}: column {self.data.label!r} (data.label) is empty in every row.")
            raise DataError(
                f"{shown}: none of {self.selected} rows can be used as {self.choice.layout.part_name()}, the first on line {line}: {detail}. "
                f"Check data.layout ({self.choice.evidence})."
            )

    def _row_ids(self, place: Place, table: Table) -> pl.Series:
        if self.data.id is None:
            return self._ids.of_frame(table.frame.drop(table.added))
        ids = table.frame[self.data.id]
        again = self._ids.occurrences(ids.fill_null("")) > 1
        for wrong, word in ((ids.is_null() | (ids == ""), "empty"), (ids.is_duplicated() | again, "not unique")):
            if wrong.any():
                at = table.lines.filter(wrong).to_list()
                raise DataError(
                    f"{place.name}, lines {', '.join(map(str, at[:3]))}: data.id column {self.data.id!r} is {word} in {len(at)} rows. "
                    "Name a column with unique ids, or set data.id to null."
                )
        return ids.alias("row_id")

    def _named(self, place: Place, table: Table, ids: pl.Series, converted: pl.DataFrame) -> pl.DataFrame:
        """Our columns first, then the file's own that the layout has not used up; a name of ours gets an underscore."""
        used = set(self.choice.layout.uses(self.data).values()) - kept_columns(self.data) | {WEIGHT}
        own = table.frame.drop(used, strict=False)
        own = own.rename(_apart(own.columns))
        ours = [converted[name] for name in _OURS if name in converted.columns]
        front = [ids, pl.Series("source", [place.name], dtype=pl.String).new_from_index(0, len(ids)), table.lines.alias("line")]
        return pl.DataFrame([*front, *ours]).hstack(own) if own.width and own.height else pl.DataFrame([*front, *ours, *own.get_columns()])

    def _unusable(self, frame: pl.DataFrame, converted: pl.DataFrame, which: pl.Series) -> pl.DataFrame:
        reasons = converted.select(reason=REASON, detail=DETAIL).filter(which)
        return frame.select(*_FRONT, raw=pl.col("text").str.head(RAW_LIMIT)).filter(which).hstack(reasons).select(*QUARANTINE_SCHEMA)

    def _quarantine(self, place: Place, bad: Sequence[Bad]) -> pl.DataFrame:
        if not bad:
            return pl.DataFrame(schema=QUARANTINE_SCHEMA)
        ids = self._bad_ids.of_texts(pl.Series([f"{one.reason}:{one.raw}" for one in bad], dtype=pl.String))
        rows = [(row_id, place.name, one.line, one.reason, one.detail, one.raw) for row_id, one in zip(ids, bad, strict=True)]
        return pl.DataFrame(rows, schema=QUARANTINE_SCHEMA, orient="row")


def _weighed(table: Table, converted: pl.DataFrame) -> pl.DataFrame:
    """With the file's column `weight`, where it has one, as the weight of each row in training. What is no weight cannot be used."""
    if WEIGHT not in table.frame.columns:
        return converted
    given = table.frame[WEIGHT].cast(pl.String).str.strip_chars().replace("", None)
    number = given.cast(pl.Float64, strict=False)
    wrong = given.is_not_null() & ~(number.is_finite() & (number >= 0)).fill_null(False) & converted[REASON].is_null()
    said = pl.format(
        "weight must be a number of at least 0, but is {}; a column that is no row weight needs another name", given.str.head(40)
    )
    return converted.with_columns(
        number.alias(WEIGHT),
        pl.when(wrong).then(pl.lit("bad_weight")).otherwise(pl.col(REASON)).alias(REASON),
        pl.when(wrong).then(said).otherwise(pl.col(DETAIL)).alias(DETAIL),
    )


def _apart(own: Sequence[str]) -> dict[str, str]:
    """New names for columns that have ours: with as many underscores as it takes to be like no other."""
    found: dict[str, str] = {}
    for name in own:
        new = name
        while new in RESERVED or (new != name and new in own):
            new += "_"
        if new != name:
            found[name] = new
    return found


def kept_columns(data: DataSettings) -> set[str]:
    """Columns that later stages ask for by name; the layout does not use them up."""
    return {*data.groups, *data.slices, *([data.date] if data.date else [])}


def _conditions(data: DataSettings) -> list[pl.Expr]:
    return [(pl.col(name) == value).fill_null(False) for name, value in data.where.items()]


def check_columns(place: Place, data: DataSettings, choice: Choice, columns: list[str]) -> None:
    """Raise `DataError` with every column that the recipe names and the file does not have."""
    wanted = choice.layout.required(data) | ({"data.id": data.id} if data.id else {})
    wanted |= {f"data.groups[{index}]": name for index, name in enumerate(data.groups)}
    wanted |= {f"data.slices[{index}]": name for index, name in enumerate(data.slices)}
    wanted |= {"data.date": data.date} if data.date else {}
    wanted |= {f"data.where.{name}": name for name in data.where}
    shown = place.shown
    missing = [
        f"{key}: there is no column {name!r} in {shown}.{did_you_mean(name, columns)}"
        for key, name in wanted.items()
        if name not in columns
    ]
    absent = [key for key in choice.layout.needed if getattr(choice.layout, key) is None]
    if absent:
        usual = "; ".join(f"{key}: {', '.join(choice.layout.usual[key])}" for key in absent)
        missing.append(
            f"data.layout {choice.layout.part_name()}: {shown} has none of the usual columns ({usual}); it has {', '.join(columns)}. Name it: data.layout: {{name: {choice.layout.part_name()}, {absent[0]}: COLUMN}}"
        )
    if missing:
        raise DataError("\n".join(missing))
