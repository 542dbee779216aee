"""What decides which rows go where: chance, the date, or a column. Whatever decides, no group of rows may be torn apart.

    by: random   classes in proportion, groups as one (split.py)
    by: date     the oldest rows to train, the newest to test; equal dates stay together; rows without a date are quarantined
    by: column   the rows say it themselves, in words such as train, dev, test

A date or a column may put two near duplicates, or two mails of one thread, on both sides. Such rows leak: those outside
the latest split that their group reaches (test over validation over train) are dropped, or kept and counted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from tunewright.core.errors import DataError, RecipeError
from tunewright.core.recipe import Recipe, SplitSettings
from tunewright.core.rows import RESERVED
from tunewright.core.settings import did_you_mean
from tunewright.prepare.split import SPLITS, assign
from tunewright.prepare.steps._shared import change
from tunewright.text.moments import moments

WORDS = {
    "train": "train", "training": "train", "validation": "validation", "valid": "validation", "val": "validation", "dev": "validation",
    "development": "validation", "test": "test", "testing": "test", "eval": "test",
}  # fmt: skip


@dataclass(frozen=True)
class Split:
    """`rows` that stay with the split of each, ledger lines for those that left, and notes for the summary."""

    rows: pl.DataFrame
    names: pl.Series
    changes: pl.DataFrame
    notes: list[str]


def split_rows(rows: pl.DataFrame, recipe: Recipe, earlier: pl.DataFrame | None = None) -> Split:
    """Split `rows`, which have a column `group`. `earlier` (row_id, split): how this run split them before. Raises DataError when a split would be empty or a class cannot be learnt."""
    settings = recipe.prepare.split
    none = change(rows.clear(), "dropped", "")
    if settings.by == "random":
        labels = rows["label"] if "label" in rows.columns else None
        before = None if earlier is None else rows.select("row_id").join(earlier, on="row_id", how="left", maintain_order="left")["split"]
        names = assign(labels, rows["group"].to_numpy(), settings, recipe.prepare.seed, before)
        return Split(rows, names, none, [] if before is None else [_stayed(names, before)])
    if settings.by == "date":
        dated, undated = _by_date(rows, recipe)
    else:
        dated, undated = _by_column(rows, settings), none
    stays, leaking, notes = _leaks(dated, settings)
    _check(stays, settings)
    if len(undated):
        notes.append(f"{len(undated):,} rows without a date that can be read are in quarantine")
    return Split(stays.drop("__split"), stays["__split"].alias("split"), pl.concat([undated, leaking]), notes)


def _stayed(names: pl.Series, before: pl.Series) -> str:
    known, test = before.is_not_null(), (before == "test").fill_null(False)
    stay = f"{int((names == before).sum()):,} of {int(known.sum()):,} rows stay in the split that they had before"
    return f"{stay}, {int((names.filter(test) == 'test').sum()):,} of {int(test.sum()):,} in the test (prepare.split.keep)"


def column_of(rows: pl.DataFrame, name: str, place: str) -> str:
    """The column of `rows` that the recipe calls `name`: one that clashed with ours has an underscore. Raises DataError."""
    ours = f"{name}_" if name in RESERVED and f"{name}_" in rows.columns else name
    if ours not in rows.columns:
        raise DataError(f"{place}: the rows have no column {name!r}.{did_you_mean(name, rows.columns)}")
    return ours


def _by_date(rows: pl.DataFrame, recipe: Recipe) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows with their split, and ledger lines of those without a date."""
    settings, name = recipe.prepare.split, recipe.data.date
    if name is None:
        raise RecipeError("recipe", ["prepare.split.by: date needs data.date, the column with each row's date."])
    marked = rows.with_columns(__date=moments(rows[column_of(rows, name, "data.date")]))
    undated = change(marked.filter(pl.col("__date").is_null()), "quarantined", "no_date", f"column {name!r} holds no date that can be read")
    marked = marked.filter(pl.col("__date").is_not_null())
    if marked.is_empty():
        raise DataError(f"prepare.split.by: date, but no row has a date that can be read in column {name!r} (data.date).")
    rank = marked["__date"].rank("min").to_numpy() - 1  # equal dates have the rank of the first of them
    edges = np.array([settings.train, settings.train + settings.validation]) * len(marked)
    where = np.array(SPLITS)[np.searchsorted(edges, rank + 1e-9)]
    return marked.with_columns(__split=pl.Series(where)).drop("__date"), undated


def _by_column(rows: pl.DataFrame, settings: SplitSettings) -> pl.DataFrame:
    assert settings.column is not None
    name = column_of(rows, settings.column, "prepare.split.column")
    said = rows[name].cast(pl.String).str.strip_chars().str.to_lowercase()
    where = said.replace_strict(WORDS, default=None, return_dtype=pl.String)
    if where.null_count():
        odd = rows.filter(where.is_null())
        raise DataError(
            f"prepare.split.column: {settings.column!r} must say train, validation or test in each row, but in {len(odd)} rows it does not; "
            f"the first is {odd[name][0]!r} ({odd['source'][0]}, line {odd['line'][0]})."
        )
    return rows.with_columns(__split=where)


def _leaks(rows: pl.DataFrame, settings: SplitSettings) -> tuple[pl.DataFrame, pl.DataFrame, list[str]]:
    """Rows whose group reaches a later split: dropped with a line each, or kept and counted."""
    order = pl.col("__split").replace_strict({name: place for place, name in enumerate(SPLITS)}, return_dtype=pl.Int8)
    marked = rows.with_columns(__order=order).with_columns(__last=pl.col("__order").max().over("group"))
    leaks = pl.col("__order") < pl.col("__last")
    found = marked.filter(leaks)
    counts = dict(found["__split"].value_counts().sort("__split").iter_rows())
    shown = ", ".join(f"{name} {count:,}" for name, count in counts.items())
    notes = [
        f"rows that belong together with rows of a later split: {shown}; {'they left' if settings.leaks == 'drop' else 'THEY STAY: results on these rows flatter the model'}"
    ]
    if settings.leaks == "keep" or found.is_empty():
        return rows, change(rows.clear(), "dropped", ""), notes if counts else []
    said = pl.format(
        "stood in {}, and rows of its group in {}",
        "__split",
        pl.col("__last").replace_strict(dict(enumerate(SPLITS)), return_dtype=pl.String),
    )
    return marked.filter(~leaks).drop("__order", "__last"), change(found, "dropped", "leaks_across_splits", said), notes


def _check(rows: pl.DataFrame, settings: SplitSettings) -> None:
    for name in SPLITS:
        part = rows.filter(pl.col("__split") == name)
        if part.is_empty():
            raise DataError(
                f"prepare.split.by: {settings.by} leaves no rows for {name}. Check the column, the shares, and data.groups: rows that belong "
                "together with a later split are dropped from an earlier one (prepare.split.leaks)."
            )
        if name == "train" and "label" in rows.columns:
            missing = sorted(set(rows["label"]) - set(part["label"]))
            if missing or part["label"].n_unique() < 2:
                lacks = f"no training row is labelled {missing[0]!r}" if missing else "every training row has the same label"
                raise DataError(
                    f"prepare.split.by: {settings.by} leaves a class that cannot be learnt: {lacks}. Split by random, or add rows."
                )
