"""How a step says what it did: ledger lines for rows that changed or left."""

from __future__ import annotations

import polars as pl

from tunewright.core.parts import StepResult
from tunewright.core.rows import compared


def change(rows: pl.DataFrame, action: str, reason: str | pl.Expr, detail: str | pl.Expr = "") -> pl.DataFrame:
    """One ledger line for each of `rows`; `reason` and `detail` may be expressions over the rows."""
    said = {"action": action, "reason": reason, "detail": detail}
    return rows.select("row_id", "source", "line", **{name: pl.lit(one) if isinstance(one, str) else one for name, one in said.items()})


def drop(rows: pl.DataFrame, wrong: pl.Expr | pl.Series, reason: str, detail: str | pl.Expr = "") -> StepResult:
    """`rows` without those that are `wrong`, which leave for `reason`."""
    marked = rows.with_columns(__wrong=wrong)
    left = change(marked.filter("__wrong"), "dropped", reason, detail)
    return StepResult(marked.filter(~pl.col("__wrong")).drop("__wrong"), left)


def unchanged(rows: pl.DataFrame) -> StepResult:
    """Nothing to do for rows of this kind."""
    return StepResult(rows, change(rows.clear(), "fixed", ""))


def judged_on(rows: pl.DataFrame) -> tuple[pl.Series, pl.Series]:
    """(what duplicates are told by, what must be equal besides): text and label; text with answer; and the rejected answer too."""
    other = next((name for name in ("label", "rejected") if name in rows.columns), None)
    return compared(rows), (rows[other] if other else pl.repeat("", len(rows), dtype=pl.String, eager=True)).alias("label")
