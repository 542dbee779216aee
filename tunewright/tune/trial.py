"""One trial: a system learns from given rows for a fixed number of steps and answers fixed rows. Nothing else is chosen.

    Trial(spec="lora", train=proof/rows/raw.parquet, test=proof/test.parquet, steps=60, seed=18, answers=proof/raw-18.parquet, ...)
      -> raw-18.parquet: row_id, predicted ("negative"), and what it took: steps, rows, seconds, fingerprint

The last step's weights answer: no arm gets to choose among checkpoints. A baseline is a system too; it ignores the steps. Labels that
only some training rows have ("Positive ") are learnt as they are, but every system answers with `labels`. A trial that was
killed goes on from its last checkpoint, a finished one is only read.
"""

from __future__ import annotations

import os
import random
import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tunewright.core.errors import RecipeError
from tunewright.core.executor import Executor, LocalExecutor, cores
from tunewright.core.files import read_parquet, write_parquet
from tunewright.core.parts import Baseline, Look
from tunewright.core.plugins import PartSpec, build, names
from tunewright.core.progress import Report
from tunewright.core.recipe import Recipe
from tunewright.core.score import LabelTask
from tunewright.core.settings import did_you_mean

LOWER = ".lower"  # as in tune.rows, which needs torch
PROBED = 16  # test rows in the estimate of time


@dataclass(frozen=True)
class Trial:
    """What a worker needs: plain values only. `train` and `test` are files of rows; `answers` is the file to write."""

    recipe: Recipe
    labels: list[str]
    spec: PartSpec
    train: Path
    test: Path
    steps: int
    seed: int
    answers: Path
    fingerprint: str

    @property
    def name(self) -> str:
        return self.answers.stem

    def done(self) -> pl.DataFrame | None:
        """The answers, unless they are missing or of other inputs."""
        found = read_parquet(self.answers) if self.answers.exists() else pl.DataFrame()
        return None if found.is_empty() or found["fingerprint"][0] != self.fingerprint else found


def attempt_all(word: str, trials: list[Trial], executor: Executor, report: Report) -> None:
    """Do those of `trials` that are not done, techniques two side by side where there are two cores; say first how long it will
    take. All of them write into one folder, which holds what the frozen layers say until the end."""
    missing = sorted((one for one in trials if one.done() is None), key=lambda one: -one.steps)
    trains = any(kind_of(_name(one.spec)) == "techniques" for one in missing)
    workers = min(2, cores(), len(missing)) if trains else 1
    if missing:
        done = len(trials) - len(missing)
        report.say(f"{word} {len(trials)} trainings, {done} done before; finding out how long the others take")
        if trains:
            seconds = max(executor.map(estimate, missing[:1] * workers, workers=workers)) * len(missing) / workers
        else:  # quick enough to find out by doing the first
            clock = time.perf_counter()
            attempt(missing.pop(0), report)
            seconds = (time.perf_counter() - clock) * len(missing)
        shown = f"{seconds / 60:.1f} minutes" if seconds >= 90 else f"{max(1, round(seconds))} seconds"
        report.say(f"          about {shown}")
    executor.map(attempt, missing, workers=workers)
    shutil.rmtree(trials[0].answers.parent / LOWER, ignore_errors=True)


def system_of(recipe: Recipe, name: str | None) -> PartSpec:
    """The technique of the recipe (or any technique or baseline) that `name` names; the recipe's first without a name."""
    given: list[PartSpec] = list(recipe.tune.techniques)
    if name is None:
        return given[0]
    for spec in given:
        if name in ([spec] if isinstance(spec, str) else [spec.get("alias"), spec["name"]]):
            return spec
    name = {"tfidf": "tfidf_logistic", "embedding": "embedding_logistic"}.get(name, name)
    known = [*names("techniques"), *names("baselines")]
    if name not in known:
        raise RecipeError("command line", [f"{name}: there is no such technique or baseline.{did_you_mean(name, known)}"])
    build(kind_of(name), name)
    return name


def kind_of(name: str) -> str:
    """ "techniques" or "baselines": where the system of this name is found."""
    return "baselines" if name in names("baselines") else "techniques"


def attempt(trial: Trial, report: Report) -> pl.DataFrame:
    """Learn, answer, write the answers down; return them."""
    if (before := trial.done()) is not None:
        return before
    clock = time.perf_counter()
    part = build(kind_of(_name(trial.spec)), trial.spec)
    predicted, steps = _fit_baseline(part, trial, report) if isinstance(part, Baseline) else _train(part, trial, report)
    test = read_parquet(trial.test)
    found = pl.DataFrame({"row_id": test["row_id"], "predicted": [trial.labels[one] for one in predicted]})
    seconds = time.perf_counter() - clock
    found = found.with_columns(steps=pl.lit(steps), seconds=pl.lit(round(seconds, 2)), fingerprint=pl.lit(trial.fingerprint))
    write_parquet(trial.answers, found)
    shutil.rmtree(_folder(trial), ignore_errors=True)
    return found


def _name(spec: PartSpec) -> str:
    return spec if isinstance(spec, str) else str(spec["name"])


def _folder(trial: Trial) -> Path:
    return trial.answers.with_suffix(".training")


def _fit_baseline(part: Baseline, trial: Trial, report: Report) -> tuple[Any, int]:
    """Fit on the rows as they are, answer with the likeliest of `trial.labels`."""
    train, test = read_parquet(trial.train).with_columns(pl.col("text").fill_null("")), read_parquet(trial.test)
    known = sorted(set(train["label"]) | set(trial.labels))
    look = Look(trial.recipe, report, LocalExecutor(report), lambda: None)
    found = part.predict(LabelTask(train, test.drop("label"), known), look)
    shares = np.eye(len(known))[found.predicted] if found.probabilities is None else found.probabilities
    return shares[:, [known.index(label) for label in trial.labels]].argmax(axis=1), 0


def _train(technique: Any, trial: Trial, report: Report) -> tuple[Any, int]:
    """`trial.steps` optimiser steps of the recipe's objective, then the likeliest label of each test row."""
    from tunewright.models.score import score_labels
    from tunewright.tune.batches import Sampler
    from tunewright.tune.loop import Loop

    settings = trial.recipe.tune.model_copy(
        update={"max_steps": trial.steps, "minutes": None, "num_train_epochs": 1e9, "evaluations": 1, "early_stopping": None}
    )
    model, rows, test, shared = _ready(technique, trial)
    sampler = Sampler(rows.lengths, settings.per_device_train_batch_size, settings.gradient_accumulation_steps, trial.seed, shared=shared)
    objective = build("objectives", settings.objective)
    nothing = {"loss": 1.0, "accuracy": 0.0, "macro_f1": 0.0}
    with report.task(trial.name, trial.steps) as task:
        loop = Loop(
            model, technique, settings, sampler,
            loss=lambda chosen: objective.loss(model, rows.tree(chosen), rows.lower),
            look=lambda: nothing | {"accuracy": 1.0, "macro_f1": 1.0},  # the last step is the best by decree: nothing is chosen
            untuned=nothing, folder=_folder(trial), task=task,
        )  # fmt: skip
        progress = loop.run()
    with report.task(f"{trial.name} answers", len(test.frame)) as task:
        found = score_labels(model, test.format, test.frame["text"].to_list(), task=task, lower=test.lower)
    return found.predict(), progress.step


def _ready(technique: Any, trial: Trial) -> tuple[Any, Any, Any, int]:
    """Model with the technique applied, training rows, test rows, and tokens of the shared beginning."""
    import torch

    from tunewright.models.load import load_base, quiet
    from tunewright.models.memory import require_memory
    from tunewright.tune.rows import Rows

    for seed in (random.seed, np.random.seed, torch.manual_seed):
        seed(trial.seed)
    base = load_base(trial.recipe.model)
    rows, test = (Rows(trial.recipe, trial.labels, base, path) for path in (trial.train, trial.test))
    layers = technique.frozen_layers(base.model)
    for one in (rows, test):
        one.keep_lower(base, layers, trial.answers.parent)  # the frozen layers say the same in every arm and seed
    longest = max(rows.lengths) * trial.recipe.tune.per_device_train_batch_size + len(rows.tokens.prefix)
    with quiet():
        require_memory(base.model, technique, longest, workers=2)
        return technique.apply(base.model, base.tokenizer), rows, test, len(rows.tokens.prefix)


def estimate(trial: Trial, report: Report) -> float:
    """Seconds that `trial`, of a technique, will take: from two steps and a few answers."""
    part = build("techniques", trial.spec)
    place = trial.answers.with_name(f"{trial.name}.probe-{os.getpid()}")
    some = place / "test.parquet"
    write_parquet(some, read_parquet(trial.test).head(PROBED))
    probe = replace(trial, test=some, answers=place / "probe.parquet", steps=3)
    clock = time.perf_counter()
    model, rows, test, _ = _ready(part, probe)
    loading = time.perf_counter() - clock
    objective = build("objectives", trial.recipe.tune.objective)
    size = trial.recipe.tune.per_device_train_batch_size * trial.recipe.tune.gradient_accumulation_steps
    clock = time.perf_counter()
    for start in (0, size):
        chosen = [(start + index) % len(rows.lengths) for index in range(size)]
        objective.loss(model, rows.tree(chosen), rows.lower)[0].backward()
    step = (time.perf_counter() - clock) / 2
    clock = time.perf_counter()
    test.look(model, _Silent())
    row = (time.perf_counter() - clock) / len(test.frame)
    shutil.rmtree(place, ignore_errors=True)
    return loading + trial.steps * step + len(read_parquet(trial.test)) * row


class _Silent:
    def advance(self, n: float = 1, info: str = "", total: float | None = None) -> None:
        return
