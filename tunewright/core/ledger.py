"""The row ledger: every input row is accounted for, after every stage, for life.

`ledger.parquet` holds one line an event: `row_id, source, line, stage, action, reason, detail`, for example

    r3f09.. | reviews.csv | 212 | prepare | dropped | near_duplicate | kept r77ab.. at Jaccard 0.83

For each stage `in + added = kept + dropped + quarantined` must hold row by row: `close` proves it or raises.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from tunewright.core.errors import LedgerError
from tunewright.core.files import read_parquet, write_parquet

LEDGER_SCHEMA: dict[str, pl.DataType] = {
    "row_id": pl.String(),
    "source": pl.String(),
    "line": pl.Int64(),
    "stage": pl.String(),
    "action": pl.String(),
    "reason": pl.String(),
    "detail": pl.String(),
}
ENDINGS = ("kept", "dropped", "quarantined")
ACTIONS = ("read", "fixed", "truncated", "added", "relabelled", *ENDINGS)


class Ledger:
    """Collects the lines of the stage at work and writes them when the stage closes balanced."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lines: list[pl.DataFrame] = []

    def record(self, stage: str, action: str, rows: pl.DataFrame, reason: str = "", detail: str = "") -> None:
        """Add one line for each of `rows` (needs row_id; source, line, reason, detail are taken from it where it has them)."""
        if action not in ACTIONS:
            raise LedgerError(f"action must be one of {ACTIONS}, but got {action!r}")
        given = {"stage": stage, "action": action} | {
            name: value for name, value in (("reason", reason), ("detail", detail)) if name not in rows.columns
        }
        self._lines.append(
            rows.select(
                pl.lit(given[name]).cast(kind).alias(name)
                if name in given
                else (pl.col(name) if name in rows.columns else pl.lit(None)).cast(kind).alias(name)
                for name, kind in LEDGER_SCHEMA.items()
            )
        )

    def start(self, stage: str) -> None:
        """Forget lines of a stage that did not finish."""
        self._lines = []

    def close(self, stage: str, rows_in: pl.Series, rows_out: pl.Series) -> dict[str, int]:
        """Check conservation for `stage` and write its lines; return how many lines each action has.

        `rows_in` and `rows_out` are row ids. A stage that reads new rows gives an empty `rows_in` and `read` or `added` lines.
        """
        lines = pl.concat(self._lines) if self._lines else pl.DataFrame(schema=LEDGER_SCHEMA)
        check_conservation(stage, lines, rows_in, rows_out)
        before = self.lines().filter(pl.col("stage") != stage)
        write_parquet(self.path, pl.concat([before, lines]))
        self._lines = []
        return dict(lines.group_by("action").len().sort("action").iter_rows())

    def lines(self) -> pl.DataFrame:
        return read_parquet(self.path) if self.path.exists() else pl.DataFrame(schema=LEDGER_SCHEMA)


def check_conservation(stage: str, lines: pl.DataFrame, rows_in: pl.Series, rows_out: pl.Series) -> None:
    """Raise `LedgerError` unless each row that came in or was added has exactly one ending, and those kept are `rows_out`."""
    entered = pl.concat([rows_in.cast(pl.String), lines.filter(pl.col("action").is_in(["read", "added"]))["row_id"]])
    ended = lines.filter(pl.col("action").is_in(ENDINGS))["row_id"]
    kept = lines.filter(pl.col("action") == "kept")["row_id"]
    for name, ids in (("entered", entered), ("ended", ended), ("left", rows_out)):
        if ids.n_unique() != len(ids):
            twice = ids.filter(ids.is_duplicated())[0]
            raise LedgerError(f"stage {stage}: row {twice} {name} more than once")
    for name, some, others in (
        ("came in and has no kept, dropped or quarantined line", entered, ended),
        ("has an ending but never came in", ended, entered),
        ("is kept by the ledger but not in the stage's output", kept, rows_out),
        ("is in the stage's output but not kept by the ledger", rows_out, kept),
    ):
        lost = some.filter(~some.is_in(others.implode()))
        if len(lost):
            raise LedgerError(f"stage {stage}: {len(lost)} rows, the first {lost[0]}: it {name}")
    changed = lines.filter(pl.col("action").is_in(["dropped", "quarantined", "fixed", "truncated", "relabelled", "added"]))
    silent = changed.filter(pl.col("reason").fill_null("") == "")
    if len(silent):
        raise LedgerError(f"stage {stage}: row {silent['row_id'][0]} was {silent['action'][0]} without a reason")
