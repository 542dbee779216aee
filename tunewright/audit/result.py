"""What an audit found: counts, lines for people, a document for programs, and a second decision without a second measurement.

result = tw.audit("reviews.csv")
result.counts                                          # {"near_duplicates": 312, "html_remnants": 44, ...}
result.findings                                        # one line a finding, see `core.finding`
result.rethreshold(near_duplicates={"drop": 0.6})      # decided anew from what was measured: no pair is searched again
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from html import escape
from typing import Any

import polars as pl

from tunewright.core import plugins
from tunewright.core.errors import RecipeError
from tunewright.core.finding import FINDING_SCHEMA, SEVERITIES
from tunewright.core.parts import Check
from tunewright.core.rows import ReadResult, task_of
from tunewright.core.settings import did_you_mean

WORST = 5
KINDS = {
    "generation": "rows with a free-text answer",
    "preference": "rows with a preferred and a rejected answer",
    "text": "rows of plain text",
}


@dataclass(frozen=True)
class Seen:
    """What was read."""

    rows: int
    quarantined: int
    not_selected: int
    task: str
    classes: dict[str, int]  # rows of each class, the largest first

    @staticmethod
    def of(read: ReadResult) -> Seen:
        task = task_of(read.rows)
        return Seen(len(read.rows), len(read.quarantine), len(read.not_selected), task, class_sizes(read.rows))


@dataclass(frozen=True)
class Decided:
    """One check's findings. `seconds` are those of measuring and deciding; `kept` when the measures are of an earlier run."""

    check: Check
    findings: pl.LazyFrame
    seconds: float
    kept: bool


@dataclass(frozen=True)
class AuditResult:
    """What was read and what was found. `skipped` says why some checks could not run; `notes` what a reader should know."""

    seen: Seen
    decided: tuple[Decided, ...]
    skipped: dict[str, str]
    fail_on: str
    decide: Callable[[Check], Decided] = field(repr=False)  # by the measures at hand
    notes: tuple[str, ...] = ()

    @property
    def checks(self) -> tuple[Check, ...]:
        """The checks that ran."""
        return tuple(one.check for one in self.decided)

    @cached_property
    def findings(self) -> pl.DataFrame:
        """All findings, check by check."""
        return self.lazy_findings().collect()

    def lazy_findings(self) -> pl.LazyFrame:
        return pl.concat([pl.LazyFrame(schema=FINDING_SCHEMA), *(one.findings for one in self.decided)])

    @cached_property
    def tally(self) -> dict[str, dict[str, int]]:
        """Findings by check and severity, the most severe and frequent checks first."""
        found = self.lazy_findings().group_by("check", "severity").len().collect().sort("check", "severity")
        by = {name: dict(part.select("severity", "len").iter_rows()) for (name,), part in found.group_by("check")}
        worst = {name: max(map(SEVERITIES.index, severities)) for name, severities in by.items()}
        return {str(name): by[name] for name in sorted(by, key=lambda one: (-worst[one], -sum(by[one].values()), one))}

    @property
    def counts(self) -> dict[str, int]:
        """Findings of each check."""
        return {name: sum(by.values()) for name, by in self.tally.items()}

    @property
    def classes(self) -> dict[str, int]:
        """Rows of each class, the largest first."""
        return self.seen.classes

    @property
    def failed(self) -> bool:
        """True when there is a finding of the severity that `audit.fail_on` forbids, or a worse one."""
        forbidden = SEVERITIES[SEVERITIES.index(self.fail_on) :] if self.fail_on in SEVERITIES else ()
        return any(by.keys() & set(forbidden) for by in self.tally.values())

    def rethreshold(self, **thresholds: Mapping[str, Any]) -> AuditResult:
        """The same audit with other thresholds, `rethreshold(short_text={"min_words": 5})`; nothing is measured again.

        Raises `RecipeError` for a check that did not run, and for a setting that steers the measurement itself.
        """
        ran = {one.check.part_name(): one for one in self.decided}
        problems = []
        for name, values in thresholds.items():
            if name not in ran:
                problems.append(f"{name}: did not run in this audit.{did_you_mean(name, list(ran))}")
                continue
            problems += [
                f"{name}.{key}: is part of what was measured; change it in the recipe (audit.checks) and audit again."
                for key in values
                if key in ran[name].check.measured_by
            ]
        if problems:
            raise RecipeError("rethreshold", problems)
        again = {
            name: self.decide(plugins.build("checks", {**ran[name].check.model_dump(), **values, "name": name}))
            for name, values in thresholds.items()
        }
        return replace(self, decided=tuple(again.get(one.check.part_name(), one) for one in self.decided))

    def summary(self) -> list[str]:
        """Plain lines: what was read, what each serious check found, what else was noted."""
        lines = [self._first_line()]
        lines += [f"{self.seen.quarantined:,} could not be read: audit/quarantine.parquet"] if self.seen.quarantined else []
        lines += [f"{self.seen.not_selected:,} are left out by data.where"] if self.seen.not_selected else []
        ran = {one.check.part_name(): one for one in self.decided}
        lines += [self._line(ran[name]) for name, by in self.tally.items() if by.keys() - {"info"}]
        noted = [f"{by['info']:,} {name.replace('_', ' ')}" for name, by in self.tally.items() if by.keys() == {"info"}]
        lines += [f"to know: {', '.join(noted)} (all of it in audit/findings.parquet)"] if noted else []
        return [*lines, *self.notes, *(f"not run: {name} ({why})" for name, why in self.skipped.items())]

    def document(self) -> dict[str, Any]:
        """`audit/summary.json`: counts, thresholds, seconds and the worst findings of each check."""
        return {
            "rows": self.seen.rows,
            "task": self.seen.task,
            "quarantined": self.seen.quarantined,
            "not_selected": self.seen.not_selected,
            "classes": self.classes,
            "failed": self.failed,
            "fail_on": self.fail_on,
            "notes": list(self.notes),
            "skipped": self.skipped,
            "checks": {
                one.check.part_name(): {
                    "about": _about(one.check),
                    "settings": one.check.model_dump(),
                    "counts": self.tally.get(one.check.part_name(), {}),
                    "seconds": round(one.seconds, 3),
                    "measured_before": one.kept,
                    "worst": _worst(one.findings, WORST).to_dicts(),
                }
                for one in self.decided
            },
        }

    def _repr_html_(self) -> str:
        lines = "".join(f"<li>{escape(line)}</li>" for line in self.summary())
        return f"<b>Audit</b><ul>{lines}</ul>{self.lazy_findings().head(20).collect()._repr_html_()}"

    def _first_line(self) -> str:
        if self.seen.task != "classification":
            return f"{self.seen.rows:,} {KINDS[self.seen.task]}"
        shown = [f"{label} {rows:,}" for label, rows in self.classes.items()]
        classes = ", ".join(shown[:6]) + (f" and {len(shown) - 6} more" if len(shown) > 6 else "")
        return f"{self.seen.rows:,} rows in {len(shown)} classes ({classes})"

    def _line(self, one: Decided) -> str:
        found, name = one.findings.filter(pl.col("severity") != "info"), one.check.part_name()
        rows = int(found.select(pl.col("row_id").drop_nulls().n_unique()).collect().item())
        if not rows:
            worst = _worst(found, 4)["evidence"].to_list()
            return f"{name}: {'; '.join(worst[:3])}" + " ..." * (len(worst) > 3)
        return f"{rows:,} {'row' if rows == 1 else 'rows'}: {_about(one.check)} [{name}]"


def class_sizes(rows: pl.DataFrame) -> dict[str, int]:
    """Rows of each class, the largest first; empty without labels."""
    if "label" not in rows.columns:
        return {}
    return dict(rows["label"].value_counts().sort("count", "label", descending=[True, False]).iter_rows())


def _worst(found: pl.LazyFrame, number: int) -> pl.DataFrame:
    return found.sort("score", descending=True, nulls_last=True, maintain_order=True).head(number).collect()


def _about(check: Check) -> str:
    """The first sentence of a check's docstring, as it stands behind a number of rows."""
    sentence = (check.__doc__ or check.part_name()).split(". ")[0].strip().rstrip(".")
    return sentence[0].lower() + sentence[1:] if sentence[1:2].islower() or sentence[1:2] == " " else sentence
