"""One candidate from the untuned model to its saved weights: load, apply the technique, check, train, check again, save.

Runs in a process of its own when candidates are trained side by side. `candidate.json` is written last: while it is missing
the candidate is unfinished and goes on from its last checkpoint.
"""

from __future__ import annotations

import random
import resource
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch

from tunewright.core.errors import RunError
from tunewright.core.files import read_json, read_parquet, write_json
from tunewright.core.parts import Technique
from tunewright.core.plugins import build
from tunewright.core.progress import Report
from tunewright.core.recipe import PartSpec, Recipe
from tunewright.core.score import accuracy, macro_f1
from tunewright.models.chat import ChatFormat
from tunewright.models.contract import contract
from tunewright.models.frozen import LowerStates
from tunewright.models.load import LoadedModel, load_base
from tunewright.models.score import score_labels
from tunewright.models.tree import pack
from tunewright.tune.batches import Sampler, stratified
from tunewright.tune.checkpoints import learning_weights
from tunewright.tune.loop import Loop

MEMORY_PROBE_ROWS = 64


@dataclass(frozen=True)
class Job:
    """What a worker needs to train one candidate: plain values only."""

    run: Path
    recipe: Recipe
    labels: tuple[str, ...]
    name: str
    technique: PartSpec

    @property
    def folder(self) -> Path:
        return self.run / "tune" / self.name


class Rows:
    """Rows of one split as tokens, and how a model answers them."""

    def __init__(self, job: Job, fmt: ChatFormat, split: str, cap: int | None = None) -> None:
        frame = read_parquet(job.run / "prepare" / f"{split}.parquet")
        if cap is not None:
            frame = frame[stratified(frame["label"].to_list(), cap, job.recipe.tune.seed).tolist()]
        self.frame, self.fmt, self.labels = frame, fmt, list(job.labels)
        self.texts: list[str] = frame["text"].to_list()
        self.truth = np.array([self.labels.index(label) for label in frame["label"]], dtype=np.int64)
        self.tokens = fmt.encode(self.texts)
        self.answers = [fmt.answer(label) for label in frame["label"]]
        self.lengths = [len(b) + len(a) for b, a in zip(self.tokens.bodies, self.answers, strict=True)]

    def tree(self, rows: Sequence[int]) -> Any:
        bodies = [self.tokens.bodies[row] for row in rows]
        return pack(self.tokens.prefix, bodies, [[self.answers[row]] for row in rows])

    def look(self, loaded: LoadedModel, lower: LowerStates | None = None) -> tuple[dict[str, float], Any]:
        """Loss for each answer token, accuracy and macro-F1; and the log-likelihood of each label (n, c)."""
        found = score_labels(loaded, self.fmt, self.texts, self.labels, lower=lower)
        own = np.arange(len(self.truth)), self.truth
        predicted = found.log_likelihood.argmax(1)
        measured = {
            "loss": float(found.answer_nll[own].sum() / found.answer_tokens[own].sum()),
            "accuracy": accuracy(self.truth, predicted),
            "macro_f1": macro_f1(self.truth, predicted, len(self.labels)),
        }
        return measured, found


def chat_format(job: Job, tokenizer: Any) -> ChatFormat:
    data, model = job.recipe.data, job.recipe.model
    return ChatFormat(tokenizer, data.instruction, model.system, model.max_length, labels=job.labels)
