"""Prepare: act on what the audit found, split without leaks, seal the test.

    audit/rows.parquet
      --steps for all rows--> rows that are mended, redacted or gone, each with its line in the ledger
      --leak_groups--> rows that belong together (near duplicates, equal data.groups) get one group number
      --split--> train, validation, test: classes in proportion, by date or by a column; no group in two of them
      --steps for training rows--> train with weights, new rows, a chosen part: validation and test stay as they are
      --seal_test--> test.parquet is hashed; only `evaluate` opens it

Rows that left are in dropped.parquet and quarantine.parquet as they were when they left, with reason and detail. What each
step did to each field is in changes.parquet: `changes.replay` leads from the audit's rows to these files, `changes.undo` back.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import polars as pl

from tunewright.core.files import read_json, read_parquet, write_json, write_parquet
from tunewright.core.parts import StepResult
from tunewright.core.recipe import Recipe
from tunewright.core.run import Context
from tunewright.core.seal import seal_test

if TYPE_CHECKING:
    from tunewright.prepare.apply import Bench


@dataclass(frozen=True)
class PrepareResult:
    """What each step did, and rows by split and label. `groups`: sets of two and more rows that stay together; `notes` of the split."""

    labels: list[str]
    counts: dict[str, dict[str, int]]
    steps: list[dict[str, Any]]
    groups: int
    rows_in: int
    rows_added: int
    notes: list[str]

    def summary(self) -> list[str]:
        """Plain lines: how many rows stay, what each step did, how the rest was split."""
        sizes = {split: sum(by_label.values()) for split, by_label in self.counts.items()}
        kept = sum(sizes.values())
        added = f"{self.rows_added:,} were made, " if self.rows_added else ""
        left = self.rows_in + self.rows_added - kept
        lines = [f"{self.rows_in:,} rows came in, {added}{kept:,} stay, {left:,} left for a stated reason"]
        for step in self.steps:
            did = ", ".join(f"{reason.replace('_', ' ')} {rows:,}" for reason, rows in step["reasons"].items())
            lines += [f"{step['name']}: {did}"] if did else []
        shares = ", ".join(f"{split} {size:,} ({size / kept:.0%})" for split, size in sizes.items())
        together = f"{self.groups:,} groups of rows that belong together stand in one split each"
        return [*lines, f"split: {shares}; {together}; the test is sealed", *self.notes]

    def _repr_html_(self) -> str:
        return "<b>Prepare</b><ul>" + "".join(f"<li>{escape(line)}</li>" for line in self.summary()) + "</ul>"


def run(context: Context) -> PrepareResult:
    """The stage: steps, groups, split, steps for training rows, seal."""
    from tunewright.prepare.apply import Bench, build_steps
    from tunewright.prepare.curation import unproven
    from tunewright.prepare.split import SPLITS
    from tunewright.prepare.split_by import split_rows
    from tunewright.text.groups import leak_groups

    where, recipe, ledger = context.run, context.recipe, context.ledger
    came_in = read_parquet(where.path("audit", "rows.parquet"))
    bench, (for_all, for_train) = Bench(context), build_steps(recipe.prepare.steps)
    rows = bench.apply(came_in, for_all)
    rows = rows.with_columns(group=pl.Series(leak_groups(rows, recipe.data, recipe.prepare.near_duplicate_threshold)))
    split = split_rows(rows, recipe, _earlier(context))
    if len(split.changes):
        rows = bench.take(rows, StepResult(split.rows, split.changes), "split")
    parts = {name: rows.filter(split.names == name) for name in SPLITS}
    parts["train"] = bench.apply(parts["train"], for_train, pl.concat([parts["validation"], parts["test"]]))
    for name in SPLITS:
        ledger.record("prepare", "kept", parts[name].select("row_id", "source", "line", detail=pl.lit(name)))
    for name in ("train", "validation"):
        write_parquet(where.path("prepare", f"{name}.parquet"), parts[name])
    seal_test(where, parts["test"])
    write_parquet(where.path("prepare", "dropped.parquet"), bench.gone("dropped"))
    write_parquet(where.path("prepare", "quarantine.parquet"), bench.gone("quarantined"))
    write_parquet(where.path("prepare", "changes.parquet"), pl.concat(bench.lines))
    result = _result(parts, len(came_in), bench, [*split.notes, *unproven(bench.steps, where)])
    write_json(where.path("prepare", "summary.json"), asdict(result) | _split_settings(recipe))
    ledger.close("prepare", came_in["row_id"], pl.concat([part["row_id"] for part in parts.values()]))
    return result


def _split_settings(recipe: Recipe) -> dict[str, Any]:
    return {"split": recipe.prepare.split.model_dump(), "seed": recipe.prepare.seed}


def _earlier(context: Context) -> pl.DataFrame | None:
    """(row_id, split) of the last time that this run was split with the same settings; None for the first time."""
    if not context.recipe.prepare.split.keep:
        return None
    last = max(context.run.path("superseded").glob("prepare-*/summary.json"), default=None)
    said = {} if last is None else read_json(last)
    if any(said.get(key) != value for key, value in _split_settings(context.recipe).items()):
        return None
    kept = context.ledger.lines().filter(pl.col("stage") == "prepare", pl.col("action") == "kept")
    return kept.select("row_id", split="detail")


def _result(parts: dict[str, pl.DataFrame], came_in: int, bench: Bench, notes: list[str]) -> PrepareResult:
    labelled = all("label" in part.columns for part in parts.values())
    labels = sorted({label for part in parts.values() for label in part["label"].unique()}) if labelled else []
    counts = {
        name: {label: int((part["label"] == label).sum()) for label in labels} if labelled else {"rows": len(part)}
        for name, part in parts.items()
    }
    together = pl.concat([part.select("group") for part in parts.values()]).group_by("group").len().filter(pl.col("len") > 1)
    return PrepareResult(labels, counts, bench.steps, len(together), came_in, bench.added, notes)
