"""One candidate from the untuned model to its saved weights: load, apply the technique, check, train, check again, save.

Runs in a process of its own when candidates train side by side. `candidate.json` is written last: while it is missing the
candidate is unfinished and goes on from its last checkpoint.
"""

from __future__ import annotations

import random
import resource
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import polars as pl
import torch

from tunewright.core.errors import RunError
from tunewright.core.files import read_json, read_parquet, write_json, write_parquet
from tunewright.core.parts import Technique
from tunewright.core.plugins import build
from tunewright.core.progress import Report, Task
from tunewright.core.recipe import PartSpec, Recipe
from tunewright.core.score import accuracy, macro_f1
from tunewright.models.chat import ChatFormat
from tunewright.models.contract import make_contract
from tunewright.models.frozen import LowerStates
from tunewright.models.load import LoadedModel, load_base, quiet
from tunewright.models.memory import require_memory
from tunewright.models.score import score_labels
from tunewright.models.tree import Tree, answer_log_probs, pack
from tunewright.tune.batches import Sampler, stratified
from tunewright.tune.checkpoints import STATE, WEIGHTS, learning_weights
from tunewright.tune.loop import Loop

PROBE_ROWS = 32  # rows for the checks after training
UNCHANGED = 1e-3  # nats: what rounding may move an answer's log-likelihood


@dataclass(frozen=True)
class Job:
    """What a worker needs to train one candidate: plain values only."""

    run: Path
    recipe: Recipe
    labels: list[str]
    name: str
    spec: PartSpec
    side_by_side: int = 1

    @property
    def folder(self) -> Path:
        return self.run / "tune" / self.name


class Rows:
    """Rows of one split as tokens, with what the frozen layers say about them kept below `place`."""

    def __init__(
        self, job: Job, base: LoadedModel, split: str, frozen: int, place: Path, cap: int | None = None
    ) -> None:
        frame = read_parquet(job.run / "prepare" / f"{split}.parquet")
        if cap is not None:
            frame = frame[stratified(frame["label"].to_list(), cap, job.recipe.tune.seed).tolist()]
        self.frame, self.fmt = frame, ChatFormat.of(job.recipe, base.tokenizer, job.labels)
        self.truth = np.array([job.labels.index(label) for label in frame["label"]], dtype=np.int64)
        self.tokens = self.fmt.encode(frame["text"].to_list())
        self.answers = [self.fmt.answer(label) for label in frame["label"]]
        self.lengths = [len(b) + len(a) for b, a in zip(self.tokens.bodies, self.answers, strict=True)]
        self.lower = LowerStates(place / "lower", base.fingerprint, frozen) if frozen else None

    def tree(self, rows: Sequence[int]) -> Tree:
        bodies = [self.tokens.bodies[row] for row in rows]
        return pack(self.tokens.prefix, bodies, [[self.answers[row]] for row in rows])

    @torch.no_grad()
    def answer_nll(self, model: Any, rows: Sequence[int]) -> list[float]:
        """Nats of each row's own answer, end token included."""
        model.eval()
        tree = self.tree(rows)
        log_probs = answer_log_probs(model, tree, lower=self.lower)
        return torch.zeros(len(rows)).index_add(0, tree.branch, -log_probs).tolist()

    def look(self, model: Any, task: Task) -> tuple[dict[str, float], list[float]]:
        """Loss for each answer token, accuracy and macro-F1; and the nats of each row's own answer."""
        shown = _Share(task, len(self.truth))
        found = score_labels(model, self.fmt, self.frame["text"].to_list(), task=shown, lower=self.lower)
        own, predicted = (np.arange(len(self.truth)), self.truth), found.predict()
        measured = {
            "loss": float(found.answer_nll[own].sum() / found.answer_tokens[own].sum()),
            "accuracy": accuracy(self.truth, predicted),
            "macro_f1": macro_f1(self.truth, predicted, len(self.fmt.labels)),
        }
        return measured, found.answer_nll[own].tolist()


@dataclass
class _Share:
    """Shows how far a look has come at the end of the bar of training."""

    task: Task
    rows: int
    done: float = 0

    def advance(self, n: float = 1, info: str = "", total: float | None = None) -> None:
        self.done += n
        self.task.advance(0, f"looking at validation: {self.done:.0f} of {self.rows} rows")


def look_at_untuned(job: Job, report: Report) -> None:
    """Score validation with the untuned model, once for all candidates: there every curve starts."""
    path = job.run / "tune" / "untuned.json"
    if not path.exists():
        base = load_base(job.recipe.model, report)
        frozen = build("techniques", job.spec).frozen_layers(base.model)
        rows = Rows(job, base, "validation", frozen, job.run / "tune", job.recipe.tune.validation_rows)
        with report.task("untuned model") as task:
            look, nll = rows.look(base.model.requires_grad_(False), task)
        write_json(path, {"look": look, "answer_nll": nll})


def train(job: Job, report: Report) -> dict[str, Any]:
    """Train one candidate and return what `candidate.json` holds. A finished one is only read."""
    if (job.folder / "candidate.json").exists():
        return dict(read_json(job.folder / "candidate.json"))
    settings = job.recipe.tune
    technique, objective = build("techniques", job.spec), build("objectives", settings.objective)
    for seed in (random.seed, np.random.seed, torch.manual_seed):
        seed(settings.seed)
    base = load_base(job.recipe.model)
    frozen = technique.frozen_layers(base.model)
    rows = Rows(job, base, "train", frozen, job.folder)
    validation = Rows(job, base, "validation", frozen, job.run / "tune", settings.validation_rows)
    size, pieces = settings.per_device_train_batch_size, settings.gradient_accumulation_steps
    sampler = Sampler(rows.lengths, size, pieces, settings.seed, shared=len(rows.tokens.prefix))
    with quiet():
        needed = require_memory(base.model, technique, sampler.largest(), workers=job.side_by_side)
        model = technique.apply(base.model, base.tokenizer)

    def loss(chosen: list[int]) -> tuple[torch.Tensor, int]:
        found: tuple[torch.Tensor, int] = objective.loss(model, rows.tree(chosen), rows.lower)
        return found

    learn, total = (sum(w.numel() for w in some) for some in (learning_weights(model).values(), model.parameters()))
    report.say(
        f"          {job.name}: {learn:,} of {total:,} weights learn, {size * pieces} rows a step, "
        f"about {needed / 2**30:.1f} GiB of memory"
    )
    gradients = check_gradients(model, technique, lambda: loss(sampler.micro_batches(0)[0])[0])
    untuned = read_json(job.run / "tune" / "untuned.json")
    with report.task(job.name) as task:
        loop = Loop(
            model,
            technique,
            settings,
            sampler,
            loss,
            lambda: validation.look(model, task)[0],
            untuned["look"],
            job.folder,
            task,
        )
        progress = loop.run()
        task.advance(0, "checking and saving")
        visits = sampler.visits(progress.best_step)
        checks = {"gradients": gradients, **_after(loop, rows, validation, visits, untuned["answer_nll"])}
        with quiet():
            technique.save(model, job.folder)
    seen = rows.frame.select("row_id").with_columns(
        visits=pl.Series(visits), truncated=pl.Series(rows.tokens.truncated)
    )
    write_parquet(job.folder / "rows.parquet", seen)
    some = rows.frame.head(8)
    write_json(job.folder / "tokens.json", make_contract(rows.fmt, some["text"].to_list(), some["label"].to_list()))
    kept = next(r for r in loop.history if r["kind"] == "validation" and r["step"] == progress.best_step)
    losses = [r["loss"] for r in loop.history if r["kind"] == "train" and r["loss"] is not None]
    found = {
        "name": job.name,
        "technique": technique.part_name(),
        "settings": technique.model_dump(exclude={"alias"}),
        "validation": {name: kept[name] for name in ("accuracy", "macro_f1", "loss")},
        "best_step": progress.best_step,
        "steps": progress.step,
        "epochs": round(progress.step / sampler.steps_per_epoch, 3),
        "rows_seen": progress.rows_seen,
        "tokens_seen": progress.tokens_seen,
        "train_seconds": round(progress.train_seconds, 2),
        "evaluation_seconds": round(progress.evaluation_seconds, 2),
        "train_loss": {"first_10_steps": fmean(losses[:10]), "last_10_steps": fmean(losses[-10:])} if losses else None,
        "trainable_parameters": learn,
        "total_parameters": total,
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        * (1 if sys.platform == "darwin" else 1024),
        "stopped_because": progress.stopped_because,
        "resumed_at": progress.resumed_at,
        "alarms": loop.guard.alarms,
        "checks": checks,
    }
    write_json(job.folder / "candidate.json", found)
    _tidy(job.folder, progress.best_step)
    return found


def check_gradients(model: Any, technique: Technique, loss: Callable[[], torch.Tensor]) -> dict[str, int]:
    """One backward pass: gradients must reach exactly the weights that the technique names, and not all be zero."""
    model.train()
    torch.autograd.backward(loss())
    reached = {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}
    meant = {name for name, _ in model.named_parameters() if technique.learns(name)}
    alive = sum(bool(grad.any()) for grad in reached.values())
    model.zero_grad(set_to_none=True)
    if odd := sorted(reached.keys() ^ meant):
        raise RunError(
            f"technique {technique.part_name()}: gradients must reach exactly the weights that it names (`learns`), but "
            f"{len(odd)} differ, such as {odd[0]}. Its `apply` or its `learns` is wrong."
        )
    if not alive:
        raise RunError(
            f"technique {technique.part_name()}: no gradient reaches the {len(meant)} weights that should learn."
        )
    return {"weights": len(meant), "with_gradient": len(reached), "not_zero": alive}


def _after(loop: Loop, rows: Rows, validation: Rows, visits: Any, before: list[float]) -> dict[str, Any]:
    """With the kept weights: did the output change, and can rows that it trained on be told from others?"""
    probe = list(range(min(PROBE_ROWS, len(validation.truth))))
    unseen = validation.answer_nll(loop.model, probe)
    moved = max(abs(new - old) for new, old in zip(unseen, before, strict=False))
    if moved < UNCHANGED:
        loop.guard.alarm("no_effect", loop.progress.best_step, moved, UNCHANGED)
    most = [int(row) for row in np.argsort(-visits, kind="stable")[:PROBE_ROWS] if visits[row]]
    told = loop.guard.probe_memory(loop.progress.best_step, rows.answer_nll(loop.model, most), unseen) if most else None
    return {
        "output_changed": {"largest_difference_in_nats": moved, "changed": moved >= UNCHANGED},
        "memory_probe": told,
    }


def _tidy(folder: Path, best: int) -> None:
    """Keep the best checkpoint's weights; what only a resumed run needs can go."""
    shutil.rmtree(folder / "lower", ignore_errors=True)
    for checkpoint in folder.glob("checkpoint-*"):
        if checkpoint.name != f"checkpoint-{best}":
            shutil.rmtree(checkpoint)
            continue
        for file in checkpoint.iterdir():
            if file.name not in (WEIGHTS, STATE):
                file.unlink()
