"""The rows of one split as tokens: what a step learns from and what a look scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from tunewright.core.errors import DataError
from tunewright.core.files import read_parquet
from tunewright.core.progress import Task
from tunewright.core.recipe import Recipe
from tunewright.core.score import accuracy, macro_f1
from tunewright.models.chat import ChatFormat
from tunewright.models.frozen import LowerStates
from tunewright.models.load import LoadedModel
from tunewright.models.score import score_labels
from tunewright.models.tree import Tree, answer_log_probs, pack
from tunewright.tune.batches import stratified

LOWER = ".lower"  # folder for what frozen layers say; gone when a candidate, or the stage, is done


class Rows:
    """Prompts, answers and truth of one split, in the order of `frame`."""

    def __init__(self, recipe: Recipe, labels: list[str], base: LoadedModel, path: Path, cap: int | None = None) -> None:
        """Read the split at `path`; at most `cap` rows of it, by label."""
        frame = read_parquet(path)
        if cap is not None:
            frame = frame[stratified(frame["label"].to_list(), cap, recipe.tune.seed).tolist()]
        self.frame, self.format = frame, ChatFormat.of(recipe, base.tokenizer, labels)
        places = {label: place for place, label in enumerate(labels)}
        self.truth = np.array([places.get(label, -1) for label in frame["label"]], dtype=np.int64)  # -1: raw rows may be misspelt
        self.tokens = self.format.encode(frame["text"].fill_null("").to_list())
        self.answers = [self.format.answer(label) for label in frame["label"]]
        self.lengths = [len(b) + len(a) for b, a in zip(self.tokens.bodies, self.answers, strict=True)]
        self.weights = row_weights(frame, [len(answer) for answer in self.answers])
        self.lower: LowerStates | None = None

    def keep_lower(self, base: LoadedModel, layers: int, place: Path) -> None:
        """Compute what the lowest `layers` say about a row only once, and keep it below `place`."""
        if layers:
            self.lower = LowerStates(place / LOWER, base.fingerprint, layers)

    def tree(self, rows: Sequence[int]) -> Tree:
        """`rows` packed for one pass, with their weights."""
        bodies = [self.tokens.bodies[row] for row in rows]
        packed = pack(self.tokens.prefix, bodies, [[self.answers[row]] for row in rows])
        return packed if self.weights is None else replace(packed, weights=self.weights[list(rows)])

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
        found = score_labels(model, self.format, self.frame["text"].to_list(), task=shown, lower=self.lower)
        own, predicted = (np.arange(len(self.truth)), self.truth), found.predict()
        measured = {
            "loss": float(found.answer_nll[own].sum() / found.answer_tokens[own].sum()),
            "accuracy": accuracy(self.truth, predicted),
            "macro_f1": macro_f1(self.truth, predicted, len(self.format.labels)),
        }
        return measured, found.answer_nll[own].tolist()


def row_weights(frame: pl.DataFrame, answer_tokens: Sequence[int]) -> torch.Tensor | None:
    """(n,) how much each row counts, or None when all count the same. Scaled so that the mean over answer tokens is 1: a row of
    weight 2 then has the gradient of two rows, and the learning rate means what it means without weights."""
    if "weight" not in frame.columns or frame["weight"].drop_nulls().is_empty():
        return None
    weights, tokens = frame["weight"].cast(pl.Float64).fill_null(1.0).to_numpy(), np.asarray(answer_tokens)
    wrong = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))
    if len(wrong):
        raise DataError(f"row {frame['row_id'][int(wrong[0])]}: a weight must be a number of at least 0, but it is {weights[wrong[0]]}.")
    if not weights.any():
        raise DataError("every training row has weight 0, so there is nothing to learn. Check the weights of your rows, or prepare.steps.")
    return torch.tensor(weights * tokens.sum() / (weights * tokens).sum(), dtype=torch.float32)


@dataclass
class _Share:
    """Shows how far a look has come at the end of the bar of training."""

    task: Task
    rows: int
    done: float = 0

    def advance(self, n: float = 1, info: str = "", total: float | None = None) -> None:
        self.done += n
        self.task.advance(0, f"looking at validation: {self.done:.0f} of {self.rows} rows")
