"""Do what reviewers decided: relabel, edit or drop rows. Where reviewers differ nothing happens until somebody adjudicates."""

from __future__ import annotations

from pathlib import Path

import polars as pl
from pydantic import Field

from tunewright.core.errors import DataError
from tunewright.core.parts import Look, Step, StepResult
from tunewright.core.plugins import FILE
from tunewright.core.run import Run
from tunewright.prepare.fields import WRITTEN
from tunewright.prepare.steps._shared import change, drop, unchanged


class ApplyReviews(Step):
    """Applies the review log of a run. Reasons: review. The ledger says who decided and when."""

    run_directory: str | None = Field(None, description="run whose reviews count; null is this run", json_schema_extra=FILE)

    def reads(self, directory: Path) -> list[Path]:
        return [(Path(self.run_directory) if self.run_directory else directory) / "review" / "log.jsonl"]

    def run(self, rows: pl.DataFrame, look: Look) -> StepResult:
        from tunewright.prepare.review import resolved

        where = self.run_directory or look.directory
        if where is None:
            return unchanged(rows)
        wanted = resolved(Run(where))
        told = []
        gone = wanted.filter(pl.col("action") == "drop")
        marked = rows.join(gone.select("row_id", __said=_who()), on="row_id", how="left", maintain_order="left")
        done = drop(marked, pl.col("__said").is_not_null(), "review", pl.col("__said"))
        rows = done.rows.select(rows.columns)
        told.append(done.changes)
        for (field,), cells in wanted.filter(pl.col("field").is_not_null()).group_by("field", maintain_order=True):
            rows, lines = self._write(rows, str(field), cells)
            told.append(lines)
        return StepResult(rows, pl.concat(told))

    def _write(self, rows: pl.DataFrame, field: str, cells: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Put the values of `cells` into `field`; the ledger tells labels, not texts."""
        if field not in (*WRITTEN, "label") or field not in rows.columns:
            known = ", ".join(name for name in (*WRITTEN, "label") if name in rows.columns)
            raise DataError(f"apply_reviews: row {cells['row_id'][0]} has a decision about {field!r}, but reviews may change {known}.")
        put = cells.select("row_id", __new="value", __said=_who())
        joined = rows.join(put, on="row_id", how="left", maintain_order="left")
        other = joined.filter(pl.col("__new").is_not_null() & pl.col(field).ne_missing(pl.col("__new")))
        said = (
            pl.format("{} -> {}, {}", field, "__new", "__said") if field == "label" else pl.format("{} edited, {}", pl.lit(field), "__said")
        )
        lines = change(other, "relabelled" if field == "label" else "fixed", "review", said)
        return joined.with_columns(pl.coalesce("__new", field).alias(field)).select(rows.columns), lines


def _who() -> pl.Expr:
    return pl.format("by {} at {}", "by", "at")
