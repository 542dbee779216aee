"""Audit: read the rows, give each an id for life, and say what is wrong with them. Nothing is changed.

    reviews.csv --read_rows--> rows with ids  (unreadable records: audit/quarantine.parquet, each with line and reason)
    rows --every check--> audit/findings.parquet  (row, check, severity, evidence, suggested fix)
    findings --counts, worst cases--> audit/summary.json, and the lines that are printed

What to do about the findings is decided by the steps of `prepare`.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from html import escape
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

import polars as pl

from tunewright.core import plugins
from tunewright.core.errors import EnvironmentProblem
from tunewright.core.executor import LocalExecutor
from tunewright.core.files import write_json, write_parquet
from tunewright.core.finding import FINDING_SCHEMA, SEVERITIES, findings
from tunewright.core.parts import Check, Look
from tunewright.core.progress import Report
from tunewright.core.recipe import Recipe
from tunewright.core.rows import ReadResult
from tunewright.core.run import Context
from tunewright.sources import read_rows
from tunewright.text.pii import redact

WORST = 5
DEFAULTS = {"field": "text", "score": 1.0}  # of a finding whose check does not say


@dataclass(frozen=True)
class AuditResult:
    """What was read and what was found. `checks` are the parts that ran; `skipped` says why others could not."""

    read: ReadResult
    findings: pl.DataFrame
    checks: tuple[Check, ...]
    skipped: dict[str, str]
    fail_on: str

    @property
    def tally(self) -> dict[str, dict[str, int]]:
        """Findings by check and severity, the most severe and frequent checks first."""
        found = self.findings.group_by("check", "severity").len().sort("check", "severity")
        by = {name: dict(part.select("severity", "len").iter_rows()) for (name,), part in found.group_by("check")}
        worst = {name: max(map(SEVERITIES.index, severities)) for name, severities in by.items()}
        return {str(name): by[name] for name in sorted(by, key=lambda one: (-worst[one], -sum(by[one].values()), one))}

    @property
    def counts(self) -> dict[str, int]:
        """Findings of each check."""
        return {name: sum(by.values()) for name, by in self.tally.items()}

    @property
    def failed(self) -> bool:
        """True when there is a finding of the severity that `audit.fail_on` forbids, or a worse one."""
        forbidden = SEVERITIES[SEVERITIES.index(self.fail_on) :] if self.fail_on in SEVERITIES else ()
        return bool(self.findings["severity"].is_in(forbidden).any())

    @property
    def classes(self) -> dict[str, int]:
        """Rows of each class, the largest first."""
        return dict(self.read.rows["label"].value_counts().sort("count", "label", descending=[True, False]).iter_rows())

    def summary(self) -> list[str]:
        """Plain lines: what was read, what each serious check found, what else was noted."""
        read, shown = self.read, [f"{label} {rows:,}" for label, rows in self.classes.items()]
        classes = ", ".join(shown[:6]) + (f" and {len(shown) - 6} more" if len(shown) > 6 else "")
        lines = [f"{len(read.rows):,} rows in {len(shown)} classes ({classes})"]
        lines += [f"{len(read.quarantine):,} could not be read: audit/quarantine.parquet"] if len(read.quarantine) else []
        lines += [f"{len(read.not_selected):,} are left out by data.where"] if len(read.not_selected) else []
        checks = {check.part_name(): check for check in self.checks}
        lines += [self._line(checks[name]) for name, by in self.tally.items() if by.keys() - {"info"}]
        noted = [f"{by['info']:,} {name.replace('_', ' ')}" for name, by in self.tally.items() if by.keys() == {"info"}]
        lines += [f"to know: {', '.join(noted)} (all of it in audit/findings.parquet)"] if noted else []
        return lines + [f"not run: {name} ({why})" for name, why in self.skipped.items()]

    def document(self) -> dict[str, Any]:
        """`audit/summary.json`: counts, thresholds and the worst findings of each check."""
        return {
            "rows": len(self.read.rows),
            "quarantined": len(self.read.quarantine),
            "not_selected": len(self.read.not_selected),
            "classes": self.classes,
            "failed": self.failed,
            "fail_on": self.fail_on,
            "skipped": self.skipped,
            "checks": {
                check.part_name(): {
                    "about": _about(check),
                    "settings": check.model_dump(),
                    "counts": self.tally.get(check.part_name(), {}),
                    "worst": self._of(check).head(WORST).to_dicts(),
                }
                for check in self.checks
            },
        }

    def _repr_html_(self) -> str:
        lines = "".join(f"<li>{escape(line)}</li>" for line in self.summary())
        return f"<b>Audit</b><ul>{lines}</ul>{self.findings.head(20)._repr_html_()}"

    def _line(self, check: Check) -> str:
        found = self._of(check).filter(pl.col("severity") != "info")
        rows = found["row_id"].drop_nulls().n_unique()
        if not rows:
            return f"{check.part_name()}: {'; '.join(found['evidence'].head(3))}" + " ..." * (len(found) > 3)
        return f"{rows:,} {'row' if rows == 1 else 'rows'}: {_about(check)} [{check.part_name()}]"

    def _of(self, check: Check) -> pl.DataFrame:
        found = self.findings.filter(pl.col("check") == check.part_name())
        return found.sort("score", descending=True, nulls_last=True, maintain_order=True)


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
    result = audit_rows(read, recipe, context.report, context.executor)
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
        return audit_rows(read_rows(data.data), data, report, LocalExecutor(report))
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
        return audit_rows(read_rows(recipe.data), recipe, report, LocalExecutor(report))


def audit_rows(read: ReadResult, recipe: Recipe, report: Report, executor: LocalExecutor) -> AuditResult:
    """Run the recipe's checks over `read.rows`, one after the other."""
    checks = [check for check in chosen_checks(recipe) if set(check.needs) <= set(read.rows.columns)]
    load = "tunewright.models.load"
    look = Look(recipe, report, executor, lambda: import_module(load).load_tokenizer(recipe.model.base, report))
    found, skipped = [pl.DataFrame(schema=FINDING_SCHEMA)], dict[str, str]()
    with report.task("looking at the rows", len(checks)) as task:
        for check in checks:
            try:
                given = check.run(read.rows, look)
                missing = {name: pl.lit(value) for name, value in DEFAULTS.items() if name not in given.columns}
                full = given if given.is_empty() else given.with_columns(**missing)
                found.append(findings(check.part_name(), check.severity, full))
            except EnvironmentProblem as problem:
                skipped[check.part_name()] = str(problem)
            task.advance(1, check.part_name())
    every = pl.concat(found)
    every = every.with_columns(evidence=redact(every["evidence"])["text"])  # evidence ends up in reports and mails
    return AuditResult(read, every, tuple(checks), skipped, recipe.audit.fail_on)


def chosen_checks(recipe: Recipe) -> list[Check]:
    """The checks that the recipe asks for."""
    asked = recipe.audit.checks
    if asked != "default":
        return [plugins.build("checks", spec) for spec in asked]
    every: list[Check] = [plugins.build("checks", name) for name in plugins.names("checks")]
    return [check for check in every if check.default]


def _about(check: Check) -> str:
    """The first sentence of a check's docstring, as it stands behind a number of rows."""
    sentence = (check.__doc__ or check.part_name()).split(". ")[0].strip().rstrip(".")
    return sentence[0].lower() + sentence[1:] if sentence[1:2].islower() or sentence[1:2] == " " else sentence


class _Callable(ModuleType):
    """`tw.audit(...)`: importing this stage puts the module where the function of that name would be, so the module answers."""

    def __call__(self, *arguments: Any, **settings: Any) -> AuditResult:
        return audit_frame(*arguments, **settings)


sys.modules[__name__].__class__ = _Callable
