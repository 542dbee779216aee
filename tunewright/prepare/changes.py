"""What each step did to each field, so that prepare can be played again, and taken back.

One line of `prepare/changes.parquet` is one changed field, one row that left, one that is new, or one column that is new:

    row_id r3f09..        | step 0 | name repair_text           | action changed | field text      | after "it’s A & B"
    row_id r77ab..        | step 3 | name drop_exact_duplicates | action removed | field null      | after null
    row_id r3f09..+noise1 | step 8 | name augment               | action added   | field parent_id | after r3f09..
    row_id r3f09..+noise1 | step 8 | name augment               | action added   | field text      | after "ti’s A & B"
    row_id null           | step 7 | name balance               | action column  | field weight    | after Float64

Only what came after a step is here; what was before is what the step before left, or the row in `audit/rows.parquet`. So a
text that was redacted is in no more files than it was. A new row differs from its parent in the fields that are listed.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from tunewright.core.errors import LedgerError

CHANGE_SCHEMA: dict[str, pl.DataType] = {
    "row_id": pl.String(),
    "step": pl.Int32(),
    "name": pl.String(),
    "action": pl.String(),
    "field": pl.String(),
    "after": pl.String(),
}
_KINDS = {str(kind): kind for kind in (pl.String(), pl.Float64(), pl.Int64(), pl.Boolean())}
_TELLS = {"removed": ("dropped", "quarantined"), "changed": ("fixed", "relabelled", "truncated"), "added": ("added",)}


def nothing() -> pl.DataFrame:
    """No changes."""
    return pl.DataFrame(schema=CHANGE_SCHEMA)


def between(before: pl.DataFrame, after: pl.DataFrame, step: int, name: str) -> pl.DataFrame:
    """The lines that lead from `before` to `after`. Raises `LedgerError` when a step lost a column, or the order of the rows."""
    lost = [column for column in before.columns if after.schema.get(column) != before.schema[column]]
    if lost:
        raise LedgerError(f"prepare: {name} removed column {lost[0]!r} or changed its type; a step may only add columns")
    old, stayed, added = _match(before, after, name)
    new = [column for column in after.columns if column not in before.columns]
    lines = [_lines(pl.DataFrame({"field": [column], "after": [str(after.schema[column])]}), step, name, "column") for column in new]
    lines.append(_lines(before.join(after, on="row_id", how="anti", maintain_order="left").select("row_id"), step, name, "removed"))
    old = _with_columns(old, {column: after.schema[column] for column in new})
    lines += _fields(old, stayed, step, name, "changed")
    if len(added):
        parents = added.select("row_id", __parent="parent_id") if "parent_id" in added.columns else added.select("row_id", __parent=None)
        base = parents.join(_as_parents(before), left_on="__parent", right_on="__parent", how="left", maintain_order="left")
        base = _with_columns(base, {column: after.schema[column] for column in new})
        lines.append(_lines(parents.select("row_id", field=pl.lit("parent_id"), after="__parent"), step, name, "added"))
        lines += _fields(base, added, step, name, "added", but=("row_id", "parent_id"))
    return pl.concat(lines)


def check_told(lines: pl.DataFrame, said: pl.DataFrame, name: str) -> None:
    """Raise `LedgerError` when a row of `lines` changed, left or came without a ledger line of that kind in `said`."""
    for action, words in _TELLS.items():
        quiet = lines.filter(pl.col("action") == action).join(said.filter(pl.col("action").is_in(words)), on="row_id", how="anti")
        if len(quiet):
            raise LedgerError(f"prepare: {name}: row {quiet['row_id'][0]} was {action} in silence: it has no line {' or '.join(words)}")


def replay(rows: pl.DataFrame, lines: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Apply `lines` to the rows they were recorded on. Returns the rows that come out, in their order, and the lines with
    a column `before`: what the field held."""
    told = [lines.clear().with_columns(before=pl.lit(None, pl.String))]
    for _, part in lines.group_by("step", maintain_order=True):
        rows, known = _play(rows, part)
        told.append(known)
    return rows, pl.concat(told)


def undo(rows: pl.DataFrame, left: pl.DataFrame, lines: pl.DataFrame, columns: list[str]) -> pl.DataFrame:
    """Walk back from what prepare wrote: `rows` that stayed and rows that `left`, through `lines` as `replay` returned them.

    Returns the rows that came in, with `columns`, in no particular order. Raises `LedgerError` at the first value that is not
    the one that the step left behind.
    """
    for step in lines["step"].unique().sort(descending=True):
        part = lines.filter(pl.col("step") == step)
        gone = part.filter(pl.col("action") == "removed").select("row_id")
        rows = pl.concat([rows, left.join(gone, on="row_id", how="semi")], how="diagonal_relaxed")
        rows = rows.join(part.filter(pl.col("action") == "added"), on="row_id", how="anti")
        for (field,), cells in part.filter(pl.col("action") == "changed").group_by("field"):
            rows = _put_back(rows, str(field), cells)
    return rows.select(columns)


def _match(before: pl.DataFrame, after: pl.DataFrame, name: str) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """(rows of `before` that stayed, the same rows in `after`, rows that are new), in like order."""
    if len(before) == len(after) and before["row_id"].equals(after["row_id"]):
        return before, after, after.clear()
    fresh = after.join(before, on="row_id", how="anti", maintain_order="left")
    old = before.join(after, on="row_id", how="semi", maintain_order="left")
    stayed, added = after.head(len(after) - len(fresh)), after.tail(len(fresh))
    if not old["row_id"].equals(stayed["row_id"]) or not added["row_id"].equals(fresh["row_id"]):
        raise LedgerError(f"prepare: {name} changed the order of the rows; rows keep their order and new ones come last")
    return old, stayed, added


def _fields(
    old: pl.DataFrame, new: pl.DataFrame, step: int, name: str, action: str, but: tuple[str, ...] = ("row_id",)
) -> list[pl.DataFrame]:
    """One line for each field in which two frames with the same rows differ."""
    found = []
    for column in (one for one in new.columns if one not in but):
        differs = old[column].ne_missing(new[column])
        if differs.any():
            if str(new.schema[column]) not in _KINDS:
                raise LedgerError(f"prepare: {name} changed {column!r}, a column of type {new.schema[column]}; it may be text or a number")
            cells = new.filter(differs).select("row_id", field=pl.lit(column), after=pl.col(column).cast(pl.String))
            found.append(_lines(cells, step, name, action))
    return found


def _lines(cells: pl.DataFrame, step: int, name: str, action: str) -> pl.DataFrame:
    given = {"step": pl.lit(step), "name": pl.lit(name), "action": pl.lit(action)}
    return cells.select(
        given.get(column, pl.col(column) if column in cells.columns else pl.lit(None)).cast(kind).alias(column)
        for column, kind in CHANGE_SCHEMA.items()
    )


def _with_columns(rows: pl.DataFrame, kinds: Mapping[str, pl.DataType]) -> pl.DataFrame:
    return rows.with_columns(pl.lit(None, kind).alias(column) for column, kind in kinds.items())


def _as_parents(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows under the name by which their children know them; a child's own parent is not inherited."""
    return rows.rename({"row_id": "__parent"}).drop("parent_id", strict=False)


def _play(rows: pl.DataFrame, part: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """One step of `replay`."""
    kind = {action: part.filter(pl.col("action") == action) for action in ("column", "removed", "changed", "added")}
    before = rows
    fresh = {str(field): _KINDS[str(after)] for field, after in kind["column"].select("field", "after").iter_rows()}
    rows = _with_columns(rows, fresh).join(kind["removed"], on="row_id", how="anti", maintain_order="left")
    known = [pl.concat([kind["column"], kind["removed"], kind["added"]]).with_columns(before=pl.lit(None, pl.String))]
    for (field,), cells in kind["changed"].group_by("field", maintain_order=True):
        was = rows.select("row_id", before=pl.col(str(field)).cast(pl.String))
        known.append(cells.join(was, on="row_id", how="left", maintain_order="left"))
        rows = _set(rows, str(field), cells)
    if len(kind["added"]):
        rows = pl.concat([rows, _children(_with_columns(before, fresh), kind["added"]).select(rows.columns)])
    return rows, pl.concat(known)


def _children(before: pl.DataFrame, lines: pl.DataFrame) -> pl.DataFrame:
    """New rows: what their parents were, and the fields in which they differ."""
    born = lines.filter(pl.col("field") == "parent_id").select("row_id", __parent="after", parent_id="after")
    rows = born.join(_as_parents(before), on="__parent", how="left", maintain_order="left").drop("__parent")
    for (field,), cells in lines.filter(pl.col("field") != "parent_id").group_by("field", maintain_order=True):
        rows = _set(rows, str(field), cells)
    return rows


def _set(rows: pl.DataFrame, field: str, cells: pl.DataFrame, value: str = "after") -> pl.DataFrame:
    """Give `field` of the rows in `cells` their new values; a null is a value."""
    put = cells.select("row_id", __new=pl.col(value).cast(rows.schema[field]), __hit=pl.lit(True))
    joined = rows.join(put, on="row_id", how="left", maintain_order="left")
    return joined.with_columns(pl.when(pl.col("__hit")).then("__new").otherwise(field).alias(field)).drop("__new", "__hit")


def _put_back(rows: pl.DataFrame, field: str, cells: pl.DataFrame) -> pl.DataFrame:
    held = rows.select("row_id", now=pl.col(field).cast(pl.String))
    wrong = cells.join(held, on="row_id", how="left").filter(pl.col("now").ne_missing(pl.col("after")))
    if len(wrong):
        row, name = wrong.select("row_id", "name").row(0)
        raise LedgerError(f"prepare: {field} of row {row} is not what {name} left behind; the file was changed, or changes.parquet was")
    return _set(rows, field, cells, "before")
