"""Take rows through steps and write down what each did: ledger lines, changed fields, rows that left, a summary."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any

import polars as pl

from tunewright.core import plugins
from tunewright.core.files import read_parquet
from tunewright.core.finding import FINDING_SCHEMA
from tunewright.core.parts import Look, Step, StepResult
from tunewright.core.plugins import PartSpec
from tunewright.core.run import Context
from tunewright.prepare import changes

_SAID = ("row_id", "action", "reason", "detail")


@dataclass
class Bench:
    """Where rows are worked on. After `apply` it holds one summary a step, the rows that left, and the lines of `changes`."""

    context: Context
    steps: list[dict[str, Any]] = field(default_factory=list)
    left: list[pl.DataFrame] = field(default_factory=list)
    lines: list[pl.DataFrame] = field(default_factory=lambda: [changes.nothing()])
    added: int = 0  # rows that steps made, those that were rejected included

    def apply(self, rows: pl.DataFrame, steps: list[Step], held_out: pl.DataFrame | None = None) -> pl.DataFrame:
        """`rows` after `steps`. Steps of scope "train" get what is `held_out` to keep new rows away from it."""
        look = self._look(held_out)
        with self.context.report.task("preparing the rows", len(steps)) as task:
            for step in steps:
                rows = self.take(rows, step.run(rows, replace(look, step=len(self.steps))), step.part_name())
                task.advance(1, step.part_name())
        return rows

    def take(self, rows: pl.DataFrame, done: StepResult, name: str) -> pl.DataFrame:
        """Write down what the step `name` did to `rows`, and go on with what it returned. Raises `LedgerError` when it is not true."""
        lines = changes.between(rows, done.rows, len(self.steps), name)
        changes.check_told(lines, done.changes, name)
        self.lines.append(lines)
        self.added += int((done.changes["action"] == "added").sum())
        for (action,), told in done.changes.group_by("action", maintain_order=True):
            self.context.ledger.record("prepare", str(action), told)
        gone = done.changes.filter(pl.col("action").is_in(["dropped", "quarantined"])).select(_SAID)
        made = [] if done.rejected is None else [done.rejected]
        for frame in (rows, *made):
            clash = {one: f"{one}_" for one in _SAID[1:] if one in frame.columns}
            self.left.append(frame.rename(clash).join(gone, on="row_id", maintain_order="left"))
        reasons = done.changes.filter(pl.col("reason") != "").select(pl.col("reason").value_counts()).unnest("reason")
        reasons = reasons.sort("count", "reason", descending=[True, False])
        self.steps.append(
            {
                "name": name,
                "rows_in": len(rows),
                "rows_out": len(done.rows),
                "changed": done.changes["row_id"].n_unique(),
                "reasons": dict(reasons.iter_rows()),
            }
        )
        return done.rows

    def gone(self, action: str) -> pl.DataFrame:
        """The rows that were dropped or quarantined, as they were when they left, with reason and detail."""
        frames = self.left or [pl.DataFrame(schema=dict.fromkeys(_SAID, pl.String))]
        return pl.concat(frames, how="diagonal_relaxed").filter(pl.col("action") == action).drop("action")

    def _look(self, held_out: pl.DataFrame | None) -> Look:
        recipe, report, run = self.context.recipe, self.context.report, self.context.run

        def tokenizer() -> Any:
            return import_module("tunewright.models.load").load_tokenizer(recipe.model.base, report)

        def findings() -> pl.DataFrame:
            path = run.path("audit", "findings.parquet")
            return read_parquet(path) if path.exists() else pl.DataFrame(schema=FINDING_SCHEMA)

        return Look(recipe, report, self.context.executor, tokenizer, run.directory, findings, held_out)


def build_steps(specs: list[PartSpec]) -> tuple[list[Step], list[Step]]:
    """The steps for all rows, and those for training rows, which come after the split wherever the recipe has them."""
    steps: list[Step] = [plugins.build("steps", spec) for spec in specs]
    return [one for one in steps if one.scope == "all"], [one for one in steps if one.scope == "train"]
