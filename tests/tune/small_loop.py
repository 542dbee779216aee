"""A training loop around the tiny model, taken apart so that tests can hold its pieces."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tunewright.core.plugins import build
from tunewright.core.progress import Report
from tunewright.core.recipe import ModelSettings, TuneSettings
from tunewright.models.chat import ChatFormat
from tunewright.models.load import LoadedModel, load_base, quiet
from tunewright.models.tree import Tree, pack
from tunewright.testing.tiny import tiny_model
from tunewright.tune.batches import Sampler
from tunewright.tune.loop import Loop

TEXTS = ["I love it", "It broke", "great thing, really", "the worst of all that I have had", "so good", "awful"]
LABELS = ["good", "bad"] * 3


class Small:
    """Six rows, or more copies of them, a technique on the tiny model, and a loop over both."""

    def __init__(self, place: Path, technique: Any = "lora", copies: int = 4, **settings: Any) -> None:
        for seed in (random.seed, np.random.seed, torch.manual_seed):
            seed(5)
        self.base: LoadedModel = load_base(ModelSettings(base=str(tiny_model(place / "model", layers=4))))
        self.own = dict(self.base.model.named_parameters())  # the model's own weights, wherever a technique moves them
        self.before = {name: weight.detach().clone() for name, weight in self.own.items()}
        self.format = ChatFormat(self.base.tokenizer, None, None, 256, labels=["good", "bad"])
        self.encoded = self.format.encode([f"{text} {n}" for n in range(copies) for text in TEXTS])
        self.answers = [self.format.answer(label) for label in LABELS * copies]
        self.technique = build("techniques", technique)
        self.objective = build("objectives", "sft")
        with quiet():
            self.model = self.technique.apply(self.base.model, self.base.tokenizer)
        values = {"max_steps": 6, "evaluations": 2, "per_device_train_batch_size": 4, "num_train_epochs": 9} | settings
        self.settings = TuneSettings.model_validate(values)
        self.folder = place / "candidate"

    def tree(self, rows: list[int]) -> Tree:
        bodies = [self.encoded.bodies[row] for row in rows]
        return pack(self.encoded.prefix, bodies, [[self.answers[row]] for row in rows])

    def loss(self, rows: list[int]) -> tuple[torch.Tensor, int]:
        found: tuple[torch.Tensor, int] = self.objective.loss(self.model, self.tree(rows), None)
        return found

    def mean_loss(self) -> float:
        self.model.eval()
        with torch.no_grad():
            summed, tokens = self.loss(list(range(len(self.answers))))
        return float(summed) / tokens

    def look(self) -> dict[str, float]:
        loss = self.mean_loss()
        return {"loss": loss, "accuracy": 0.0, "macro_f1": -loss}

    def loop(self, look: Callable[[], dict[str, float]] | None = None, loss: Any = None) -> Loop:
        settings, sizes = self.settings, zip(self.encoded.bodies, self.answers, strict=True)
        sampler = Sampler(
            [len(body) + len(answer) for body, answer in sizes],
            settings.per_device_train_batch_size,
            settings.gradient_accumulation_steps,
            settings.seed,
            len(self.encoded.prefix),
        )
        with Report(quiet=True).task("training") as task:
            return Loop(self.model, self.technique, settings, sampler, loss or self.loss, look or self.look, self.look(), self.folder, task)

    def weights(self) -> dict[str, torch.Tensor]:
        return {name: weight.detach().clone() for name, weight in self.model.named_parameters()}


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
