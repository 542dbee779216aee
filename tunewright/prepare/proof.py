"""Prove from its files alone that nothing happened to a row in `prepare` but what is written down.

audit/rows.parquet + changes.parquet             --replay-->  train, validation, test: every value, every row, in order
train, validation, test, dropped, quarantine     --undo-->    audit/rows.parquet: every value of every row
"""

from __future__ import annotations

import polars as pl

from tunewright.core.errors import LedgerError
from tunewright.core.files import read_parquet
from tunewright.core.ledger import Ledger
from tunewright.core.run import Run
from tunewright.prepare import changes
from tunewright.prepare.split import SPLITS


def check_changes(run: Run) -> str:
    """What was proven. Raises `LedgerError` that names the first row for which it does not hold."""
    read, lines = read_parquet(run.path("audit", "rows.parquet")), read_parquet(run.path("prepare", "changes.parquet"))
    parts = {name: read_parquet(run.path("prepare", f"{name}.parquet")) for name in SPLITS}
    played, told = changes.replay(read, lines)
    ledger = Ledger(run.path("ledger.parquet")).lines().filter((pl.col("stage") == "prepare") & (pl.col("action") == "kept"))
    for name, part in parts.items():
        own = ledger.filter(pl.col("detail") == name).select("row_id")
        _same(played.join(own, on="row_id", how="semi", maintain_order="left"), part, f"prepare/{name}.parquet")
    back = changes.undo(pl.concat(parts.values(), how="diagonal_relaxed"), _left(run, read.columns), told, read.columns)
    _same(read.select("row_id").join(back, on="row_id", maintain_order="left"), read, "audit/rows.parquet, after undoing every change")
    if len(back) != len(read):
        raise LedgerError(f"undoing prepare gives {len(back)} rows, but {len(read)} came in")
    return f"{len(lines):,} changes of {lines['row_id'].n_unique():,} rows lead from the rows read to the splits, and back, value for value"


def rows_after(run: Run, steps: int) -> pl.DataFrame:
    """The rows as they stood after the first `steps` steps of `prepare/summary.json`: 0 gives the rows as read. Later steps are undone."""
    lines = read_parquet(run.path("prepare", "changes.parquet")).filter(pl.col("step") < steps)
    return changes.replay(read_parquet(run.path("audit", "rows.parquet")), lines)[0]


def _left(run: Run, columns: list[str]) -> pl.DataFrame:
    """Rows that left, without what was written beside them."""
    frames = [read_parquet(run.path("prepare", f"{name}.parquet")).drop("reason", "detail") for name in ("dropped", "quarantine")]
    left = pl.concat(frames, how="diagonal_relaxed")
    return left.rename({f"{one}_": one for one in ("action", "reason", "detail") if one in columns and f"{one}_" in left.columns})


def _same(made: pl.DataFrame, held: pl.DataFrame, where: str) -> None:
    """Raise unless `made` equals what the file holds; `group` is the split's own column."""
    held = held.drop("group", strict=False) if "group" not in made.columns else held
    if made["row_id"].to_list() != held["row_id"].to_list():
        raise LedgerError(f"{where} holds other rows than the changes lead to: {len(held)} instead of {len(made)}, or in another order")
    for column, kind in held.schema.items():
        if column not in made.columns or made.schema[column] != kind:
            raise LedgerError(f"{where}: column {column!r} is in no line of changes.parquet")
        wrong = made[column].ne_missing(held[column])
        if wrong.any():
            row = held["row_id"].filter(wrong)[0]
            raise LedgerError(
                f"{where}: {column} of row {row} is not what the changes lead to; the file was changed, or changes.parquet was"
            )
