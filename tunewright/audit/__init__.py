"""Audit: read the rows, give each an id for life, and say what is wrong with them. Nothing is changed.

    reviews.csv --read_rows--> rows with ids  (unreadable records: audit/quarantine.parquet, each with line and reason)
    rows --every check measures--> cache/measures/  (kept: another threshold measures nothing again)
    measures --every check decides--> audit/findings.parquet  (row, check, severity, evidence, suggested fix)
    findings --counts, worst cases--> audit/summary.json, and the lines that are printed

What to do about the findings is decided by the steps of `prepare`. `engine` runs the checks in
memory, `spill` beyond it, `measures` keeps what was measured, `result` says what was found.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

import polars as pl

from tunewright.audit.engine import audit_rows, chosen_checks
from tunewright.audit.result import AuditResult
from tunewright.audit.spill import OnDisk, audit_on_disk, read_within
from tunewright.core.executor import executor_for
from tunewright.core.files import atomic_path, write_json, write_parquet
from tunewright.core.progress import Report
from tunewright.core.recipe import Recipe
from tunewright.core.run import Context

__all__ = ["AuditResult", "audit_frame", "audit_rows", "chosen_checks", "run"]


def run(context: Context) -> AuditResult:
    """The stage: read, look, write."""
    recipe, run = context.recipe, context.run
    file = run.path("audit", "rows.parquet")
    found = read_within(recipe.data, recipe.compute, file, context.report)
    rest, place = found.rest if isinstance(found, OnDisk) else found, ["row_id", "source", "line"]
    rows = found.scan().select(place).collect() if isinstance(found, OnDisk) else found.rows.select(place)
    ledger = context.ledger
    for read in (rows, rest.not_selected, rest.quarantine):
        ledger.record("audit", "read", read.select(place))
    ledger.record("audit", "kept", rows)
    ledger.record("audit", "dropped", rest.not_selected.select(place), "not_selected")
    ledger.record("audit", "quarantined", rest.quarantine.select(*place, "reason", "detail"))
    if isinstance(found, OnDisk):
        result = audit_on_disk(found, recipe, context.report, context.executor, run.path("cache"))
        context.executor.close()
    else:
        result = audit_rows(found, recipe, context.report, context.executor, run.path("cache", "measures"))
        write_parquet(file, found.rows)
    write_parquet(run.path("audit", "quarantine.parquet"), rest.quarantine)
    with atomic_path(run.path("audit", "findings.parquet")) as beside:
        result.lazy_findings().sink_parquet(beside)
    write_json(run.path("audit", "summary.json"), result.document())
    ledger.close("audit", pl.Series("row_id", [], dtype=pl.String), rows["row_id"])
    return result


def audit_frame(data: Any, *, text: str = "text", label: str = "label", report: Report | None = None, **settings: Any) -> AuditResult:
    """Audit rows without a run directory: `tw.audit("reviews.csv")`, `tw.audit(frame, text="body", checks=["personal_data"])`.

    `data` is a file, a Polars or pandas frame, or a whole recipe; `settings` are keys of the recipe's `audit` section, and
    `groups`. Leaves nothing on disk.
    """
    report = report or Report(quiet=True)
    if isinstance(data, Recipe):
        return _audited(data, report)
    columns = {"text": text, "label": label, "groups": settings.pop("groups", [])}
    with TemporaryDirectory() as folder:
        path = Path(folder) / "frame.parquet"
        if isinstance(data, str | Path):
            path = Path(data)
        else:
            if not isinstance(data, pl.DataFrame):  # pandas: NaN is its null
                data = pl.DataFrame({str(name): [None if one != one else one for one in data[name]] for name in data})
            data.write_parquet(path)
        return _audited(Recipe.check({"data": {"path": str(path), **columns}, "audit": settings}, "audit"), report)


def _audited(recipe: Recipe, report: Report) -> AuditResult:
    folder = TemporaryDirectory(prefix="tunewright-")
    executor = executor_for(recipe.compute, report)
    found = read_within(recipe.data, recipe.compute, Path(folder.name) / "rows.parquet", report)
    if isinstance(found, OnDisk):  # its folder goes with the result
        return audit_on_disk(replace(found, folder=folder), recipe, report, executor, Path(folder.name) / "cache")
    folder.cleanup()
    return audit_rows(found, recipe, report, executor)


class _Callable(ModuleType):
    """`tw.audit(...)`: importing this stage puts the module where the function of that name would be, so the module answers."""

    def __call__(self, *arguments: Any, **settings: Any) -> AuditResult:
        return audit_frame(*arguments, **settings)


sys.modules[__name__].__class__ = _Callable
