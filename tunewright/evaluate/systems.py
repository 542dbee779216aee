"""Let every system answer the test rows, in worker processes, and keep each one's answers as soon as it is done.

`evaluate/systems/lora.parquet` holds row_id, predicted, probabilities, answer_nll, ... and the fingerprint of all that the
answers depend on, so an evaluation that was killed goes on with the next system. Workers get no test labels.
"""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl

from tunewright.core.executor import Executor, LocalExecutor, cores
from tunewright.core.files import read_parquet, write_parquet
from tunewright.core.parts import Look
from tunewright.core.plugins import PartSpec, build
from tunewright.core.progress import Report
from tunewright.core.recipe import Recipe
from tunewright.core.score import LabelTask, Predictions

ARRAYS = ("predicted", "uncalibrated", "probabilities", "answer_nll", "answer_tokens")
Kind = Literal["base", "baseline", "candidate"]


@dataclass(frozen=True)
class Entrant:
    """A system that will answer: a baseline by its `spec`, or the candidate in `folder`, made by technique `spec`.
    `fingerprint` changes with anything that its answers depend on."""

    name: str
    kind: Kind
    uses_model: bool
    fingerprint: str
    spec: PartSpec
    folder: Path = Path()


@dataclass(frozen=True)
class Job:
    """What a worker needs to let `entrants` answer, one after the other, into `folder`."""

    entrants: list[Entrant]
    recipe: Recipe
    task: LabelTask
    folder: Path

    def path(self, entrant: Entrant) -> Path:
        return self.folder / f"{entrant.name}.parquet"


def score_all(job: Job, executor: Executor) -> dict[str, Predictions]:
    """Answers of all entrants, by name; only what is missing is computed, two side by side where there are two cores.

    The untuned model goes first and keeps what its lower layers say about each row: candidates that left as many
    layers alone start above them. Systems without a language model share one worker, and their embeddings.
    """
    missing = [one for one in job.entrants if read_answers(job.path(one), one.fingerprint) is None]
    models = sorted((one for one in missing if one.uses_model), key=lambda one: one.kind != "base")
    cheap = [one for one in missing if not one.uses_model]
    batches = [[one] for one in models[:1]] + [cheap] * bool(cheap) + [[one] for one in models[1:]]
    executor.map(score, [replace(job, entrants=batch) for batch in batches], workers=min(2, cores()))
    shutil.rmtree(job.folder / "lower", ignore_errors=True)
    found = {one.name: read_answers(job.path(one), one.fingerprint) for one in job.entrants}
    return {name: answers for name, answers in found.items() if answers is not None}


def score(job: Job, report: Report) -> None:
    """Let each entrant of `job` answer and keep its answers; runs in a worker."""
    from tunewright.models.load import load_tokenizer

    look = Look(job.recipe, report, LocalExecutor(report), lambda: load_tokenizer(job.recipe.model.base, report))
    for one in job.entrants:
        if one.kind == "baseline":
            found = build("baselines", one.spec).predict(job.task, look)
        else:
            found = _share_layers(one, job, look)
        write_answers(job.path(one), job.task, found, one.fingerprint)


def _share_layers(one: Entrant, job: Job, look: Look) -> Predictions:
    """Answers of the untuned model or of a candidate, from the lower layers' output where that is shared."""
    from tunewright.evaluate.prompted import ask
    from tunewright.models.frozen import LowerStates
    from tunewright.models.load import attach, load_base

    base = load_base(job.recipe.model, look.report)
    specs = job.recipe.tune.techniques if one.kind == "base" else [one.spec]
    frozen = Counter(build("techniques", spec).frozen_layers(base.model) for spec in specs)
    frozen.pop(0, None)
    layers = [count for count, _ in frozen.most_common(1)]
    lower = LowerStates(job.folder / "lower", base.fingerprint, layers[0]) if layers else None
    loaded = base if one.kind == "base" else attach(base, one.folder)
    loaded.model.requires_grad_(False)
    if one.kind == "base":
        found: Predictions = build("baselines", one.spec).ask(loaded, job.task, look, lower)
        return found
    return ask(loaded, job.task, look, one.name, lower, [])


def write_answers(path: Path, task: LabelTask, found: Predictions, fingerprint: str) -> None:
    """One row for each test row; what holds for all rows is repeated."""
    lists = {name: value.tolist() for name in ARRAYS if (value := getattr(found, name)) is not None}
    whole = {"fit_seconds": found.fit_seconds, "predict_seconds": found.predict_seconds, "fingerprint": fingerprint}
    columns = {name: pl.lit(value) for name, value in whole.items()}
    frame = pl.DataFrame({"row_id": task.test["row_id"], **lists})
    write_parquet(path, frame.with_columns(**columns, labels=pl.lit(task.labels)))


def read_answers(path: Path, fingerprint: str) -> Predictions | None:
    """What `write_answers` kept, unless it is missing or of other inputs."""
    frame = read_parquet(path) if path.exists() else pl.DataFrame()
    if frame.is_empty() or frame["fingerprint"][0] != fingerprint:
        return None
    arrays: dict[str, Any] = {name: np.array(frame[name].to_list()) for name in ARRAYS if name in frame.columns}
    whole = frame.select("labels", "fit_seconds", "predict_seconds").row(0, named=True)
    return Predictions(**whole, **arrays)
