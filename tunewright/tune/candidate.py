"""One candidate from the untuned model to its saved weights: load, apply the technique, check, train, check again, save.

Runs in a process of its own when candidates train side by side. `candidate.json` is written last: while it is missing the
candidate is unfinished and goes on from its last checkpoint.
"""

from __future__ import annotations

import random
import resource
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import polars as pl
import torch

from tunewright.core.files import disk_errors, read_json, write_json, write_parquet
from tunewright.core.plugins import PartSpec, build
from tunewright.core.progress import Report
from tunewright.core.recipe import Recipe
from tunewright.models.contract import make_contract
from tunewright.models.load import load_base, quiet
from tunewright.models.memory import require_memory
from tunewright.tune.batches import Sampler
from tunewright.tune.checkpoints import STATE, WEIGHTS, learning_weights
from tunewright.tune.checks import check_gradients, check_outcome
from tunewright.tune.loop import Loop
from tunewright.tune.rows import LOWER, Rows


@dataclass(frozen=True)
class Job:
    """What a worker needs to train one candidate: plain values only."""

    run: Path
    recipe: Recipe
    labels: list[str]
    name: str
    spec: PartSpec
    side_by_side: int = 1
    inputs: str = ""  # what it depends on, as one fingerprint

    def rows(self, base: Any, split: str, cap: int | None = None) -> Rows:
        return Rows(self.recipe, self.labels, base, self.run / "prepare" / f"{split}.parquet", cap)


def look_at_untuned(job: Job, report: Report) -> None:
    """Score validation with the untuned model, once for all candidates: there every curve starts."""
    path = job.run / "tune" / "untuned.json"
    if not path.exists():
        base = load_base(job.recipe.model, report)
        base.model.requires_grad_(False)
        rows = job.rows(base, "validation", job.recipe.tune.validation_rows)
        rows.keep_lower(base, build("techniques", job.spec).frozen_layers(base.model), path.parent)
        with report.task("untuned model") as task:
            look, nll = rows.look(base.model, task)
        write_json(path, {"look": look, "answer_nll": [round(value, 6) for value in nll]})


def train(job: Job, report: Report) -> dict[str, Any]:
    """Train one candidate and return what `candidate.json` holds. A finished one is only read."""
    folder, settings = job.run / "tune" / job.name, job.recipe.tune
    if (folder / "candidate.json").exists():
        return dict(read_json(folder / "candidate.json"))
    technique, objective = build("techniques", job.spec), build("objectives", settings.objective)
    for seed in (random.seed, np.random.seed, torch.manual_seed):
        seed(settings.seed)
    base = load_base(job.recipe.model)
    rows, validation = job.rows(base, "train"), job.rows(base, "validation", settings.validation_rows)
    rows.keep_lower(base, technique.frozen_layers(base.model), folder)
    validation.keep_lower(base, technique.frozen_layers(base.model), folder.parent)
    size, pieces = settings.per_device_train_batch_size, settings.gradient_accumulation_steps
    sampler = Sampler(rows.lengths, size, pieces, settings.seed, shared=len(rows.tokens.prefix))
    with quiet():
        memory = require_memory(base.model, technique, sampler.largest(), workers=job.side_by_side)
        model = technique.apply(base.model, base.tokenizer)

    def loss(chosen: list[int]) -> tuple[torch.Tensor, int]:
        found: tuple[torch.Tensor, int] = objective.loss(model, rows.tree(chosen), rows.lower)
        return found

    learn, total = (sum(w.numel() for w in some) for some in (learning_weights(model).values(), model.parameters()))
    report.say(
        f"          {job.name}: {learn:,} of {total:,} weights learn, {size * pieces} rows a step, about {memory / 2**30:.1f} GiB of memory"
    )
    gradients = check_gradients(model, technique, lambda: loss(sampler.micro_batches(0)[0])[0])
    untuned = read_json(folder.parent / "untuned.json")
    with report.task(job.name) as task:

        def look() -> dict[str, float]:
            return validation.look(model, task)[0]

        loop = Loop(model, technique, settings, sampler, loss, look, untuned["look"], folder, task)
        progress = loop.run()
        task.advance(0, "checking and saving")
        visits = sampler.visits(progress.best_step)
        outcome = check_outcome(model, loop.guard, progress.best_step, rows, visits, validation, untuned["answer_nll"])
        with quiet(), disk_errors(folder):
            technique.save(model, folder)
    _write_evidence(folder, rows, visits)
    found = {
        "name": job.name,
        "technique": technique.part_name(),
        "settings": technique.model_dump(exclude={"alias"}),
        "inputs": job.inputs,
        **_outcome(loop),
        "trainable_parameters": learn,
        "total_parameters": total,
        "checks": {"gradients": gradients, **outcome},
    }
    write_json(folder / "candidate.json", found)
    _tidy(folder, progress.best_step)
    return found


def _outcome(loop: Loop) -> dict[str, Any]:
    """What the loop did, for `candidate.json`."""
    progress, history = loop.progress, loop.history
    kept = next(r for r in history if r["kind"] == "validation" and r["step"] == progress.best_step)
    losses = [r["loss"] for r in history if r["kind"] == "train" and r["loss"] is not None]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return {
        "validation": {name: kept[name] for name in ("accuracy", "macro_f1", "loss")},
        "best_step": progress.best_step,
        "steps": progress.step,
        "epochs": round(progress.step / loop.sampler.steps_per_epoch, 3),
        "rows_seen": progress.rows_seen,
        "tokens_seen": progress.tokens_seen,
        "train_seconds": round(progress.train_seconds, 2),
        "evaluation_seconds": round(progress.evaluation_seconds, 2),
        "train_loss": {"first_10_steps": fmean(losses[:10]), "last_10_steps": fmean(losses[-10:])} if losses else None,
        "peak_memory_bytes": peak,
        "stopped_because": progress.stopped_because,
        "resumed_at": progress.resumed_at,
        "alarms": loop.guard.alarms,
    }


def _write_evidence(folder: Path, rows: Rows, visits: Any) -> None:
    """rows.parquet: how often the kept weights learnt from each row, and was it cut; tokens.json: the token contract."""
    seen = pl.DataFrame({"row_id": rows.frame["row_id"], "visits": visits, "truncated": rows.tokens.truncated})
    write_parquet(folder / "rows.parquet", seen)
    some = rows.frame.head(8)
    write_json(folder / "tokens.json", make_contract(rows.format, some["text"].to_list(), some["label"].to_list()))


def _tidy(folder: Path, best: int) -> None:
    """Keep the best checkpoint's weights; what only a resumed run needs can go."""
    shutil.rmtree(folder / LOWER, ignore_errors=True)
    for checkpoint in folder.glob("checkpoint-*"):
        if checkpoint.name != f"checkpoint-{best}":
            shutil.rmtree(checkpoint)
            continue
        for file in checkpoint.iterdir():
            if file.name not in (WEIGHTS, STATE):
                file.unlink()
