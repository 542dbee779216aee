"""Let every system answer the test rows, in worker processes, and keep each one's answers as soon as it is done.

`evaluate/systems/lora.parquet` holds row_id, predicted, probabilities, answer_nll, ... and the fingerprint of all that the
answers depend on, so an evaluation that was killed goes on with the next system. Workers get no test labels.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl

from tunewright.core.executor import LocalExecutor, cores
from tunewright.core.files import read_parquet, write_parquet
from tunewright.core.parts import Look
from tunewright.core.plugins import build
from tunewright.core.progress import Report
from tunewright.core.recipe import PartSpec, Recipe
from tunewright.core.score import LabelTask, Predictions

ARRAYS = ("predicted", "uncalibrated", "probabilities", "answer_nll", "answer_tokens")


@dataclass(frozen=True)
class Entrant:
    """A system that will answer: a baseline by its `spec`, or the candidate in `folder`, made by technique `spec`.
    `fingerprint` changes with anything that its answers depend on."""

    name: str
    kind: Literal["base", "baseline", "candidate"]
    uses_model: bool
    fingerprint: str
    spec: PartSpec = ""
    folder: Path = Path()


@dataclass(frozen=True)
class Job:
    """What a worker needs to let `entrants` answer, one after the other, into `folder`. `techniques` of all candidates
    tell the untuned model which of its layers' output to keep for them."""

    entrants: list[Entrant]
    recipe: Recipe
    task: LabelTask
    folder: Path
    techniques: list[PartSpec] = field(default_factory=list)

    def path(self, entrant: Entrant) -> Path:
        return self.folder / f"{entrant.name}.parquet"


def score_all(job: Job, executor: LocalExecutor) -> dict[str, Predictions]:
    """Answers of all entrants, by name; only what is missing is computed, two side by side where there are two cores.

    The untuned model goes first and keeps what its lower layers say about each row: candidates that left as many
    layers alone start above them. Systems without a language model share one worker, and their embeddings.
    """
    missing = [one for one in job.entrants if read_answers(job.path(one), one.fingerprint) is None]
    order = ["base", "baseline", "candidate"]
    models = sorted((one for one in missing if one.uses_model), key=lambda one: order.index(one.kind))
    cheap = [one for one in missing if not one.uses_model]
    batches = [[one] for one in models[:1]] + [cheap] * bool(cheap) + [[one] for one in models[1:]]
    techniques = [one.spec for one in missing if one.kind == "candidate"]
    jobs = [replace(job, entrants=batch, techniques=techniques) for batch in batches]
    executor.map(score, jobs, workers=min(2, cores()))
    found = {one.name: read_answers(job.path(one), one.fingerprint) for one in job.entrants}
    return {name: answers for name, answers in found.items() if answers is not None}


def score(job: Job, report: Report) -> None:
    """Let each entrant of `job` answer and keep its answers; runs in a worker."""
    for one in job.entrants:
        found = _language_model(one, job, report) if one.uses_model else _cheap(one, job, report)
        write_answers(job.path(one), job.task, found, one.fingerprint)


def _look(job: Job, report: Report) -> Look:
    def tokenizer() -> Any:
        from tunewright.models.load import load_tokenizer

        return load_tokenizer(job.recipe.model.base, report)

    return Look(job.recipe, report, LocalExecutor(report), tokenizer)


def _cheap(one: Entrant, job: Job, report: Report) -> Predictions:
    with report.task(one.name):
        found: Predictions = build("baselines", one.spec).predict(job.task, _look(job, report))
    return found


def _language_model(one: Entrant, job: Job, report: Report) -> Predictions:
    from tunewright.evaluate.prompted import PromptedBaseline, answers, scores
    from tunewright.models.frozen import LowerStates
    from tunewright.models.load import attach, load_base

    part = build("baselines", one.spec) if one.kind != "candidate" else None
    if part is not None and not isinstance(part, PromptedBaseline):
        return _cheap(one, job, report)
    loaded = load_base(job.recipe.model, report)
    loaded.model.requires_grad_(False)
    specs = {"base": job.techniques, "baseline": [], "candidate": [one.spec]}[one.kind]
    frozen = [build("techniques", spec).frozen_layers(loaded.model) for spec in specs]
    shared = Counter(layers for layers in frozen if layers).most_common(1)
    lower = LowerStates(job.folder / "lower", loaded.fingerprint, shared[0][0]) if shared else None
    if part is not None:
        return part.ask(loaded, job.task, _look(job, report), lower)
    loaded, start = attach(loaded, one.folder), time.perf_counter()
    loaded.model.requires_grad_(False)
    texts = job.task.test["text"].to_list()
    found = scores(loaded, job.recipe, job.task.labels, texts, report, one.name, lower=lower)
    return answers(found, 0.0, time.perf_counter() - start)


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
