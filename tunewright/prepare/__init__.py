"""Prepare: act on what the audit found, split without leaks, seal the test.

    audit/rows.parquet
      --each step of the recipe--> rows that are mended, redacted or gone, each with its line in the ledger
      --leak_groups--> rows that belong together (near duplicates, equal data.groups) get one group number
      --assign--> train, validation, test: classes in proportion, no group in two of them
      --seal_test--> test.parquet is hashed; only `evaluate` opens it

Rows that left are in dropped.parquet and quarantine.parquet as they were when they left, with reason and detail.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from html import escape
from importlib import import_module
from typing import Any

import polars as pl

from tunewright.core import plugins
from tunewright.core.files import read_parquet, write_json, write_parquet
from tunewright.core.parts import Look, Step
from tunewright.core.run import Context
from tunewright.core.seal import seal_test


@dataclass(frozen=True)
class PrepareResult:
    """What each step did, and rows by split and label. `groups`: sets of two and more rows that stay together."""

    labels: list[str]
    counts: dict[str, dict[str, int]]
    steps: list[dict[str, Any]]
    groups: int
    rows_in: int

    def summary(self) -> list[str]:
        """Plain lines: how many rows stay, what each step did, how the rest was split."""
        sizes = {split: sum(by_label.values()) for split, by_label in self.counts.items()}
        kept = sum(sizes.values())
        lines = [f"{self.rows_in:,} rows came in, {kept:,} stay, {self.rows_in - kept:,} left for a stated reason"]
        for step in self.steps:
            did = ", ".join(f"{reason.replace('_', ' ')} {rows:,}" for reason, rows in step["reasons"].items())
            lines += [f"{step['name']}: {did}"] if did else []
        shares = ", ".join(f"{split} {size:,} ({size / kept:.0%})" for split, size in sizes.items())
        together = f"{self.groups:,} groups of rows that belong together stand in one split each"
        return [*lines, f"split: {shares}; {together}; the test is sealed"]

    def _repr_html_(self) -> str:
        return "<b>Prepare</b><ul>" + "".join(f"<li>{escape(line)}</li>" for line in self.summary()) + "</ul>"


def run(context: Context) -> PrepareResult:
    """The stage: steps, groups, split, seal."""
    from tunewright.prepare.split import SPLITS, assign
    from tunewright.text.groups import leak_groups

    run, recipe, ledger = context.run, context.recipe, context.ledger
    came_in = read_parquet(run.path("audit", "rows.parquet"))
    rows, steps, left = apply_steps(came_in, context)
    groups = leak_groups(rows, recipe.data, recipe.prepare.near_duplicate_threshold)
    split = assign(rows["label"], groups, recipe.prepare.split, recipe.prepare.seed)
    rows = rows.with_columns(group=pl.Series(groups))
    ledger.record("prepare", "kept", rows.select("row_id", "source", "line", detail=split))
    parts = {name: rows.filter(split == name) for name in SPLITS}
    for name in ("train", "validation"):
        write_parquet(run.path("prepare", f"{name}.parquet"), parts[name])
    seal_test(run, parts["test"])
    write_parquet(run.path("prepare", "dropped.parquet"), left.filter(pl.col("action") == "dropped").drop("action"))
    write_parquet(run.path("prepare", "quarantine.parquet"), left.filter(pl.col("action") == "quarantined").drop("action"))
    labels = rows["label"].unique().sort().to_list()
    counts = {name: {label: int((part["label"] == label).sum()) for label in labels} for name, part in parts.items()}
    together = rows.group_by("group").len().filter(pl.col("len") > 1)
    result = PrepareResult(labels, counts, steps, len(together), len(came_in))
    write_json(run.path("prepare", "summary.json"), asdict(result) | {"split": recipe.prepare.split.model_dump()})
    ledger.close("prepare", came_in["row_id"], rows["row_id"])
    return result


def apply_steps(rows: pl.DataFrame, context: Context) -> tuple[pl.DataFrame, list[dict[str, Any]], pl.DataFrame]:
    """Take `rows` through the steps of the recipe and write down each change.

    Returns the rows that stay, one summary a step, and the rows that left with action, reason and detail.
    """
    recipe, report = context.recipe, context.report
    look = Look(recipe, report, context.executor, lambda: import_module("tunewright.models.load").load_tokenizer(recipe.model.base, report))
    clash: dict[str, str] = {name: f"{name}_" for name in ("action", "reason", "detail") if name in rows.columns}
    said = ("row_id", "action", "reason", "detail")
    steps, left = [], [rows.clear().rename(clash).with_columns(**dict.fromkeys(said[1:], pl.lit("")))]
    with report.task("preparing the rows", len(recipe.prepare.steps)) as task:
        for spec in recipe.prepare.steps:
            step: Step = plugins.build("steps", spec)
            done = step.run(rows, look)
            for (action,), lines in done.changes.group_by("action", maintain_order=True):
                context.ledger.record("prepare", str(action), lines)
            gone = done.changes.filter(pl.col("action").is_in(["dropped", "quarantined"]))
            left.append(rows.rename(clash).join(gone.select(said), on="row_id", maintain_order="left"))
            reasons = done.changes["reason"].value_counts().sort("count", "reason", descending=[True, False])
            steps.append(
                {
                    "name": step.part_name(),
                    "rows_in": len(rows),
                    "rows_out": len(done.rows),
                    "changed": done.changes["row_id"].n_unique(),
                    "reasons": dict(reasons.iter_rows()),
                }
            )
            rows = done.rows
            task.advance(1, step.part_name())
    return rows, steps, pl.concat(left, how="diagonal_relaxed")
