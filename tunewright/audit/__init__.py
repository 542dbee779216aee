"""Audit: read the rows, give each an id for life, and say what is wrong with them. Nothing is changed.

    reviews.csv --read_rows--> rows with ids  (unreadable records: audit/quarantine.parquet, each with line and reason)
    rows --every check--> audit/findings.parquet  (row, check, severity, evidence, suggested fix)
    findings --counts, worst cases--> audit/summary.json, and the lines that are printed

What to do about the findings is decided by the steps of `prepare`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl

from tunewright.core import plugins
from tunewright.core.errors import EnvironmentProblem
from tunewright.core.executor import LocalExecutor
from tunewright.core.files import write_json, write_parquet
from tunewright.core.finding import FINDING_SCHEMA, SEVERITIES, findings
from tunewright.core.parts import Check, Look
from tunewright.core.progress import Report
from tunewright.core.recipe import PartSpec, Recipe
from tunewright.core.rows import ReadResult, read_rows
from tunewright.core.run import Context

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
    def counts(self) -> dict[str, int]:
        """Findings of each check, the most severe and frequent first."""
        return {name: sum(by.values()) for name, by in sorted(self._by_severity().items(), key=_weight)}

    @property
    def failed(self) -> bool:
        """True when there is a finding of the severity that `audit.fail_on` forbids, or a worse one."""
        forbidden = SEVERITIES[SEVERITIES.index(self.fail_on) :] if self.fail_on in SEVERITIES else ()
        return bool(self.findings["severity"].is_in(forbidden).any())

    @property
    def classes(self) -> dict[str, int]:
        return dict(self.read.rows["label"].value_counts().sort("count", "label", descending=[True, False]).iter_rows())

    def summary(self) -> list[str]:
        """Plain lines: what was read, what each serious check found, what else was noted."""
        classes = ", ".join(f"{label} {count:,}" for label, count in list(self.classes.items())[:6])
        more = f" and {len(self.classes) - 6} more" if len(self.classes) > 6 else ""
        lines = [f"{len(self.read.rows):,} rows in {len(self.classes)} classes ({classes}{more})"]
        for name, rows in (
            ("could not be read and are in quarantine", self.read.quarantine),
            ("are not selected by data.where", self.read.not_selected),
        ):
            lines += [f"{len(rows):,} rows {name}"] if len(rows) else []
        by_severity, noted = self._by_severity(), []
        for name in self.counts:
            serious = sum(by_severity[name].get(one, 0) for one in ("warning", "error"))
            if serious:
                lines.append(self._line(name, serious))
            else:
                noted.append(f"{name} {self.counts[name]:,}")
        lines += [f"to know: {', '.join(noted)}"] if noted else []
        return lines + [f"not run: {name} ({why})" for name, why in self.skipped.items()]

    def document(self) -> dict[str, Any]:
        """`audit/summary.json`: counts, thresholds and the worst examples of each check with their texts."""
        texts = dict(self.read.rows.select("row_id", "text").iter_rows())
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
                    "counts": self._by_severity().get(check.part_name(), {}),
                    "rows": self._of(check.part_name())["row_id"].drop_nulls().n_unique(),
                    "worst": [
                        one | {"text": texts.get(one["row_id"]), "related_text": texts.get(one["related_row_id"])}
                        for one in self._of(check.part_name()).head(WORST).to_dicts()
                    ],
                }
                for check in self.checks
            },
        }

    def _repr_html_(self) -> str:
        lines = "".join(f"<li>{escape(line)}</li>" for line in self.summary())
        return f"<b>Audit</b><ul>{lines}</ul>{self.findings.head(20)._repr_html_()}"

    def _line(self, name: str, serious: int) -> str:
        found = self._of(name).filter(pl.col("severity") != "info")
        rows = found["row_id"].drop_nulls().n_unique()
        if not rows:
            return f"{name}: {'; '.join(found['evidence'].head(3))}" + (
                f"; and {serious - 3} more" if serious > 3 else ""
            )
        return f"{rows:,} {'row' if rows == 1 else 'rows'}: {next(_about(one) for one in self.checks if one.part_name() == name)} [{name}]"

    def _of(self, name: str) -> pl.DataFrame:
        return self.findings.filter(pl.col("check") == name).sort(
            "score", descending=True, nulls_last=True, maintain_order=True
        )

    def _by_severity(self) -> dict[str, dict[str, int]]:
        by: dict[str, dict[str, int]] = {}
        for name, severity, number in self.findings.group_by("check", "severity").len().iter_rows():
            by.setdefault(name, {})[severity] = number
        return by


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


def audit_frame(
    data: Any, *, text: str = "text", label: str = "label", report: Report | None = None, **settings: Any
) -> AuditResult:
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
            pl.DataFrame({str(name): data[name].to_list() for name in data.columns}).write_parquet(path)
        recipe = Recipe.check({"data": {"path": str(path), **columns}, "audit": settings}, "audit")
        return audit_rows(read_rows(recipe.data), recipe, report, LocalExecutor(report))


def audit_rows(read: ReadResult, recipe: Recipe, report: Report, executor: LocalExecutor) -> AuditResult:
    """Run the recipe's checks over `read.rows`, one after the other."""
    specs: list[PartSpec] = list(plugins.names("checks")) if recipe.audit.checks == "default" else recipe.audit.checks
    checks: list[Check] = [plugins.build("checks", spec) for spec in specs]
    look = Look(recipe, report, executor, cache(lambda: _tokenizer(recipe, report)))
    found, skipped = [pl.DataFrame(schema=FINDING_SCHEMA)], dict[str, str]()
    with report.task("looking at the rows", len(checks)) as task:
        for check in checks:
            try:
                given = check.run(read.rows, look)
                missing = {name: pl.lit(value) for name, value in DEFAULTS.items() if name not in given.columns}
                found.append(findings(check.part_name(), check.severity, given.with_columns(**missing)))
            except EnvironmentProblem as problem:
                skipped[check.part_name()] = str(problem)
            task.advance(1, check.part_name())
    return AuditResult(read, pl.concat(found), tuple(checks), skipped, recipe.audit.fail_on)


def _tokenizer(recipe: Recipe, report: Report) -> Any:
    from tunewright.models.load import load_tokenizer

    return load_tokenizer(recipe.model.base, report)


def _about(check: Check) -> str:
    """The first sentence of a check's docstring, as it stands behind a number of rows."""
    sentence = (check.__doc__ or check.part_name()).split(". ")[0].strip().rstrip(".")
    return sentence[0].lower() + sentence[1:] if sentence[1:2].islower() or sentence[1:2] == " " else sentence


def _weight(entry: tuple[str, dict[str, int]]) -> tuple[int, int, str]:
    name, by = entry
    return -max(SEVERITIES.index(severity) for severity in by), -sum(by.values()), name
