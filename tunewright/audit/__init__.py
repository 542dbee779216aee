"""Audit: read the rows, give each an id for life, and say what is wrong with them. Nothing is changed.

    reviews.csv --read_rows--> rows with ids  (unreadable records: audit/quarantine.parquet, each with line and reason)
    rows --every check measures--> cache/measures/  (kept: another threshold measures nothing again)
    measures --every check decides--> audit/findings.parquet  (row, check, severity, evidence, suggested fix)
    findings --counts, worst cases--> audit/summary.json, and the lines that are printed

What to do about the findings is decided by the steps of `prepare`. `engine` runs the checks, `result` says what they found.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

import polars as pl

from tunewright.audit.engine import audit_rows, chosen_checks
from tunewright.audit.result import AuditResult
from tunewright.core.executor import executor_for
from tunewright.core.files import write_json, write_parquet
from tunewright.core.progress import Report
from tunewright.core.recipe import Recipe
from tunewright.core.run import Context
from tunewright.sources import read_rows

__all__ = ["AuditResult", "audit_frame", "audit_rows", "chosen_checks", "run"]


def run(context: Context) -> AuditResult:
    """The stage: read, look, write."""
    recipe, run = context.recipe, context.run
    read = read_rows(recipe.data)
    ledger, place = context.ledger, ["row_id", "source", "line"]
    for rows in (read.rows, read.not_selected, read.quarantine):
        ledger.record("audit", "read", rows.select(place))
    ledger.record("audit", "kept", read.rows.select(place))
    ledger.record("audit", "dropped", read.not_selected.select(place), "not_selected")
    ledger.record("audit", "quarantined", read.quarantine.select(*place, "reason", "detail"))
    result = audit_rows(read, recipe, context.report, context.executor, run.path("cache", "measures"))
    write_parquet(run.path("audit", "rows.parquet"), read.rows)
    write_parquet(run.path("audit", "quarantine.parquet"), read.quarantine)
    write_parquet(run.path("audit", "findings.parquet"), result.findings)
    write_json(run.path("audit", "summary.json"), result.document())
    ledger.close("audit", pl.Series("row_id", [], dtype=pl.String), read.rows["row_id"])
    return result


def audit_frame(data: Any, *, text: str = "text", label: str = "label", report: Report | None = None, **settings: Any) -> AuditResult:
    """Audit rows without a run directory: `tw.audit("reviews.csv")`, `tw.audit(frame, text="body", checks=["personal_data"])`.

    `data` is a file, a Polars or pandas frame, or a whole recipe; `settings` are keys of the recipe's `audit` section, and
    `groups`. Writes nothing.
    """
    report = report or Report(quiet=True)
    if isinstance(data, Recipe):
        return audit_rows(read_rows(data.data), data, report, executor_for(data.compute, report))
    columns = {"text": text, "label": label, "groups": settings.pop("groups", [])}
    with TemporaryDirectory() as folder:
        path = Path(folder) / "frame.parquet"
        if isinstance(data, str | Path):
            path = Path(data)
        else:
            if not isinstance(data, pl.DataFrame):  # pandas: NaN is its null
                data = pl.DataFrame({str(name): [None if one != one else one for one in data[name]] for name in data})
            data.write_parquet(path)
        recipe = Recipe.check({"data": {"path": str(path), **columns}, "audit": settings}, "audit")
        return audit_rows(read_rows(recipe.data), recipe, report, executor_for(recipe.compute, report))


class _Callable(ModuleType):
    """`tw.audit(...)`: importing this stage puts the module where the function of that name would be, so the module answers."""

    def __call__(self, *arguments: Any, **settings: Any) -> AuditResult:
        return audit_frame(*arguments, **settings)


sys.modules[__name__].__class__ = _Callable
