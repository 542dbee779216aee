"""Running the checks: measure, keep, decide. Checks run side by side in threads; their order makes no difference to the result.

Polars, numba and numpy work without the interpreter's lock, so threads keep all cores busy and share the rows. Checks of scope
"all" get every row; checks of scope "row" go over batches, which bounds what a check holds beside the rows.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib import import_module
from pathlib import Path

import polars as pl

from tunewright.audit.checks._shared import forget
from tunewright.audit.measures import Measures
from tunewright.audit.result import AuditResult, Decided, Seen
from tunewright.core import plugins
from tunewright.core.errors import EnvironmentProblem
from tunewright.core.executor import Executor, LocalExecutor, in_threads, workers_for
from tunewright.core.finding import findings
from tunewright.core.parts import Check, Look
from tunewright.core.progress import Report, Task
from tunewright.core.recipe import Recipe
from tunewright.core.rows import ReadResult
from tunewright.text.pii import redact

BATCH = 100_000
DEFAULTS = {"field": "text", "score": 1.0}  # of a finding whose check does not say


@dataclass(frozen=True)
class Measured:
    """One check's measures, or why there are none."""

    check: Check
    measures: pl.DataFrame
    seconds: float = 0.0
    kept: bool = False
    problem: str = ""


def audit_rows(read: ReadResult, recipe: Recipe, report: Report, executor: Executor, cache: Path | None = None) -> AuditResult:
    """Run the recipe's checks over `read.rows`; `cache` is the folder of measures that later runs may use."""
    rows, look = read.rows, look_of(recipe, report, executor)
    checks, skipped = applicable(recipe, rows.columns)
    kept = Measures(cache, [rows], recipe)
    before = [kept.get(check) for check in checks]
    due = [check for check, measures in zip(checks, before, strict=True) if measures is None]
    with report.task("looking at the rows", len(due)) as task:
        fresh = iter(measure(due, rows, look, task))
    measured = [
        next(fresh) if measures is None else Measured(check, measures, kept=True) for check, measures in zip(checks, before, strict=True)
    ]
    for one in measured:
        if not one.kept and not one.problem:
            kept.put(one.check, one.measures)
    kept.prune()
    skipped |= {one.check.part_name(): one.problem for one in measured if one.problem}
    known = {one.check.part_name(): one for one in measured if not one.problem}

    def again(check: Check) -> Decided:
        return decided(check, known[check.part_name()], rows, look)

    workers = workers_for(recipe.compute, LocalExecutor(report))
    given = in_threads([partial(decided, one.check, one, rows, look) for one in measured if not one.problem], workers)
    notes = (read.evidence,) if read.evidence else ()
    return AuditResult(Seen.of(read), tuple(given), skipped, recipe.audit.fail_on, again, notes)


def look_of(recipe: Recipe, report: Report, executor: Executor) -> Look:
    """What checks may look at; the tokenizer is loaded when the first of them asks."""

    @cache
    def tokenizer() -> object:
        return import_module("tunewright.models.load").load_tokenizer(recipe.model.base, report)

    return Look(recipe, report, executor, tokenizer)


def chosen_checks(recipe: Recipe) -> list[Check]:
    """The checks that the recipe asks for."""
    asked = recipe.audit.checks
    if asked != "default":
        return [plugins.build("checks", spec) for spec in asked]
    every: list[Check] = [plugins.build("checks", name) for name in plugins.names("checks")]
    return [check for check in every if check.default]


def applicable(recipe: Recipe, columns: Sequence[str]) -> tuple[list[Check], dict[str, str]]:
    """(checks that these columns allow, why a check that the recipe names is not among them)."""
    checks, skipped = [], {}
    for check in chosen_checks(recipe):
        missing = [name for name in check.needs if name not in columns]
        if not missing:
            checks.append(check)
        elif recipe.audit.checks != "default":
            skipped[check.part_name()] = f"it needs {' and '.join(missing)}, which these rows do not have"
    return checks, skipped


def measure(checks: Sequence[Check], rows: pl.DataFrame, look: Look, task: Task) -> list[Measured]:
    """Let each check measure; the slow ones of scope "all" from one end of the queue, batches of the others from its other end.

    Checks that share something come first, so that it is freed before others need memory.
    """
    batches = [rows[start : start + BATCH] for start in range(0, len(rows), BATCH)] if len(rows) > BATCH else [rows]
    whole = sorted((place for place, check in enumerate(checks) if check.scope == "all"), key=lambda place: not checks[place].shares)
    last = {checks[place].shares: place for place in whole}
    plan = [(place, rows) for place in whole]
    plan += [(place, batch) for batch in batches for place, check in enumerate(checks) if check.scope == "row"]

    def one(place: int, part: pl.DataFrame) -> Measured:
        done = timed(checks[place], part, look)
        if checks[place].shares and last[checks[place].shares] == place:
            forget(checks[place].shares)
        task.advance(1 if part is rows else 1 / len(batches), checks[place].part_name())
        return done

    results = in_threads([partial(one, *job) for job in plan], workers_for(look.recipe.compute, LocalExecutor(look.report)))
    forget()
    parts: list[list[Measured]] = [[] for _ in checks]
    for (place, _), result in zip(plan, results, strict=True):
        parts[place].append(result)
    return [joined(part) for part in parts]


def timed(check: Check, rows: pl.DataFrame, look: Look) -> Measured:
    """Let one check measure these rows."""
    start = time.perf_counter()
    try:
        measures, problem = check.measure(rows, look), ""
    except EnvironmentProblem as lacking:
        measures, problem = pl.DataFrame(), str(lacking)
    return Measured(check, measures, time.perf_counter() - start, problem=problem)


def joined(parts: Sequence[Measured]) -> Measured:
    """The measures of batches, one after the other."""
    frames = [one.measures for one in parts if one.measures.width]
    measures = pl.concat(frames, how="vertical_relaxed") if frames else pl.DataFrame()
    problem = next((one.problem for one in parts if one.problem), "")
    return Measured(parts[0].check, measures, sum(one.seconds for one in parts), all(one.kept for one in parts), problem)


def decided(check: Check, measured: Measured, rows: pl.DataFrame, look: Look) -> Decided:
    """The findings of `check`, whole and safe to show."""
    start = time.perf_counter()
    found = found_by(check, measured.measures, rows, look)
    return Decided(check, found.lazy(), measured.seconds + time.perf_counter() - start, measured.kept)


def found_by(check: Check, measures: pl.DataFrame, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
    """What `check` decides, in the schema of findings, without personal data: evidence ends up in reports and mails."""
    given = check.decide(measures, rows, look)
    missing = {name: pl.lit(value) for name, value in DEFAULTS.items() if name not in given.columns}
    found = findings(check.part_name(), check.severity, given if given.is_empty() else given.with_columns(**missing))
    return found.with_columns(evidence=redact(found["evidence"])["text"])
