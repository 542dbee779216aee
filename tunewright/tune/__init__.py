"""Tune: train each technique on the same rows under the same budget; validation picks the winner.

    prepare/train.parquet, prepare/validation.parquet   (never the test)
      -> untuned.json        the model before training on validation: where every curve starts
      -> NAME/               one candidate: history.jsonl, checkpoints, adapter/ or model/, tokens.json, rows.parquet, candidate.json
      -> leaderboard.json    candidates by the recipe's metric on validation, best first

The story of one candidate is in `candidate.py`, its steps in `loop.py`; `techniques/` says which weights learn and
`objectives/` what. A finished candidate is not trained again, not even when the recipe gains another one (`earlier.py`); an
unfinished one goes on from its last checkpoint.
"""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import dataclass
from html import escape
from typing import Any

import polars as pl

from tunewright.core.errors import DataError, RecipeError
from tunewright.core.executor import cores
from tunewright.core.files import read_json, read_parquet, write_json
from tunewright.core.plugins import PartSpec, build
from tunewright.core.run import Context
from tunewright.tune.verify import verify_resume

__all__ = ["TuneResult", "candidate_names", "run", "verify_resume"]


@dataclass(frozen=True)
class TuneResult:
    """What came of it: candidates best first, and what the budget did to the rows."""

    metric: str
    winner: str
    candidates: list[dict[str, Any]]
    rows: int
    truncated: int
    unreached: dict[str, int]  # candidate -> rows that its budget never reached

    def summary(self) -> list[str]:
        places = [
            f"{one['name']} {one['validation'][self.metric]:.3f} ({one['steps']} steps, {one['epochs']:.2g} epochs)"
            for one in self.candidates
        ]
        lines = [f"{self.metric} on validation: {', '.join(places)}. Winner: {self.winner}."]
        short = [f"{name} {count}" for name, count in self.unreached.items() if count]
        if short:
            lines.append(f"Of {self.rows} training rows the budget never reached: {', '.join(short)}.")
        if self.truncated:
            lines.append(f"{self.truncated} of {self.rows} training rows were cut to model.max_length.")
        alarms = [f"{one['name']}: {alarm['name']} at step {alarm['step']}" for one in self.candidates for alarm in one["alarms"]]
        if alarms:
            lines.append(f"Alarms (advice in tune/leaderboard.json): {'; '.join(alarms)}.")
        return lines

    def _repr_html_(self) -> str:
        return "".join(f"<p>{escape(line)}</p>" for line in self.summary())


def run(context: Context) -> TuneResult:
    """Train every candidate of the recipe and rank them."""
    from tunewright.tune.candidate import Job, look_at_untuned, train
    from tunewright.tune.earlier import inputs_of, take_back
    from tunewright.tune.rows import LOWER

    settings, folder = context.recipe.tune, context.run.path("tune")
    rows = _rows(context)
    labels = read_json(context.run.path("prepare", "summary.json"))["labels"]
    named = candidate_names(settings.techniques)
    workers = min(2, cores(), len(named)) if settings.workers == "auto" else settings.workers
    inputs = {name: inputs_of(context, spec, workers) for name, spec in named.items()}
    jobs = [Job(context.run.directory, context.recipe, labels, name, spec, workers, inputs[name]) for name, spec in named.items()]
    if known := [name for name in named if take_back(context, name, inputs[name])]:
        context.report.say(f"          trained before under the recipe of then, and kept: {', '.join(known)}")
    context.executor.map(look_at_untuned, jobs[:1])
    candidates = context.executor.map(train, jobs, workers=workers)
    candidates.sort(key=lambda one: (-one["validation"][settings.metric], one["validation"]["loss"]))
    winner = candidates[0]["name"]
    write_json(folder / "leaderboard.json", {"metric": settings.metric, "winner": winner, "candidates": candidates})
    shutil.rmtree(folder / LOWER, ignore_errors=True)
    truncated, unreached = _account(context, rows, [job.name for job in jobs])
    return TuneResult(settings.metric, winner, candidates, len(rows), truncated, unreached)


def candidate_names(techniques: list[PartSpec]) -> dict[str, PartSpec]:
    """Name -> part of each candidate: its alias, or the technique's name. Raises `RecipeError` when two are alike."""
    named = [(build("techniques", spec).alias or (spec if isinstance(spec, str) else str(spec["name"])), spec) for spec in techniques]
    twice = [name for name, count in Counter(name for name, _ in named).items() if count > 1]
    if twice:
        raise RecipeError("recipe", [f"tune.techniques: {name!r} appears more than once. Give each its own 'alias'." for name in twice])
    return dict(named)


def _rows(context: Context) -> pl.DataFrame:
    """The training rows. Raises `DataError` when there is nothing to train on or to look at."""
    frames = {name: read_parquet(context.run.path("prepare", f"{name}.parquet")) for name in ("train", "validation")}
    for name, frame in frames.items():
        if frame.is_empty():
            raise DataError(f"prepare/{name}.parquet has no rows, but tuning needs some. Add rows or raise prepare.split.{name}.")
    return frames["train"]


def _account(context: Context, rows: pl.DataFrame, names: list[str]) -> tuple[int, dict[str, int]]:
    """Ledger lines: every training row is kept, with the times that each candidate's kept weights have learnt from it."""
    seen = [read_parquet(context.run.path("tune", name, "rows.parquet")) for name in names]
    visits = pl.DataFrame([one["visits"].alias(name) for name, one in zip(names, seen, strict=True)])
    times = (pl.lit(f"{name} ") + pl.col(name).cast(pl.String) for name in names)
    detail = visits.select(pl.lit("times learnt from: ") + pl.concat_str(*times, separator=", ")).to_series()
    cut, limit = rows.filter(seen[0]["truncated"]), f"to {context.recipe.model.max_length} tokens (model.max_length)"
    context.ledger.record("tune", "truncated", cut, reason="longer_than_max_length", detail=limit)
    context.ledger.record("tune", "kept", rows.select("row_id", "source", "line").with_columns(detail=detail))
    context.ledger.close("tune", rows["row_id"], rows["row_id"])
    return len(cut), {name: int((visits[name] == 0).sum()) for name in names}
