"""int8 weights on a processor: a quarter of the bytes to read for each step, and integer arithmetic where the processor has it.

Each linear layer keeps its weights as int8 with a scale for each output; what comes in is rounded to int8 with a scale for each
token, so that a row's answer does not depend on who shares the step. Whether answers survive that is measured, not assumed
(`precision.py`): labels and first answer tokens on the release's own rows, and speed; the first of `PLANS` that holds is taken.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from tunewright.core.files import read_json, read_parquet
from tunewright.models.chat import ChatFormat
from tunewright.models.score import score_labels
from tunewright.serve.embedded.weights import Weights

LEAST_SPEED = 1.1  # times as fast as float32, or it is not worth it
ROWS = 96  # golden rows that are compared at most
LEAST_ROWS = 60  # fewer say little: of 16 rows that agree, one in six may not
STEP = 8  # tokens of the pass that is timed: eight rows that decode
PLANS: tuple[tuple[str, ...], ...] = ((), ("down_proj", "o_proj"))  # layers that stay as they are, from the fastest plan on


class Int8Linear(nn.Module):
    """A linear layer (in -> out) with int8 weights."""

    scale: torch.Tensor  # (out,)
    weight: torch.Tensor  # (in, out) int8
    bias: torch.Tensor | None

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        weight = linear.weight.detach().float()
        scale = (weight.abs().amax(1) / 127).clamp(min=1e-12)
        self.register_buffer("scale", scale)
        self.register_buffer("weight", (weight / scale[:, None]).round().to(torch.int8).T)
        self.register_buffer("bias", None if linear.bias is None else linear.bias.detach())

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        lines = hidden.flatten(0, -2)
        scale = (lines.abs().amax(1, keepdim=True) / 127).clamp(min=1e-12)
        out = torch._int_mm((lines / scale).round_().to(torch.int8), self.weight).to(hidden.dtype).mul_(scale).mul_(self.scale)
        if self.bias is not None:
            out += self.bias
        return out.view(*hidden.shape[:-1], self.out_features)


def quantised(model: Any, keep: Sequence[str] = ()) -> Any:
    """`model` with int8 linear layers, in place; those with a name in `keep` stay."""
    for name, layer in list(model.named_modules()):
        if type(layer) is nn.Linear and not any(part in name for part in keep):
            parent, _, own = name.rpartition(".")
            setattr(model.get_submodule(parent), own, Int8Linear(layer))
    return model


@dataclass(frozen=True)
class Fit:
    """How a plan did on a release's rows: shares that answer alike, and how many times as fast a step is."""

    keep: tuple[str, ...]
    rows: int
    labels: float
    tokens: float
    speed: float

    def holds(self, agreement: float) -> bool:
        return min(self.labels, self.tokens) >= agreement and self.speed >= LEAST_SPEED

    def line(self) -> str:
        layers = "all linear layers" if not self.keep else f"linear layers but {' and '.join(self.keep)}"
        return (
            f"int8 in {layers}: {self.labels:.1%} of labels and {self.tokens:.1%} of first answer tokens as in float32"
            f" on {self.rows} rows of the release, a step {self.speed:.1f} times as fast"
        )


def golden(directory: Path) -> list[str]:
    """Texts that the release was checked on."""
    texts: list[str] = []
    if (directory / "reference.parquet").is_file():
        texts += read_parquet(directory / "reference.parquet")["text"].to_list()
    if (directory / "parity.json").is_file():
        texts += read_json(directory / "parity.json")["texts"]
    return list(dict.fromkeys(texts))[:ROWS]


class Answers:
    """What a model answers to a release's rows. `behind` is what is scored: the model, or the model behind its soft prompt."""

    def __init__(self, weights: Weights, behind: Any, adapter: str | None, fmt: ChatFormat, texts: Sequence[str]) -> None:
        weights.adapters.use([adapter])
        with torch.inference_mode():
            self.labels = score_labels(behind, fmt, texts).log_likelihood.argmax(1)
            weights.attend_by("sdpa")
            encoded = fmt.encode(texts)
            prompts = [torch.tensor([encoded.prefix + body]) for body in encoded.bodies]
            self.tokens = np.array([int(behind(ids, use_cache=False, logits_to_keep=1).logits[0, -1].argmax()) for ids in prompts])
            self.seconds = _step_seconds(weights)


def compare(keep: Sequence[str], whole: Answers, small: Answers) -> Fit:
    """How `small` did, beside `whole`."""
    alike = float((whole.labels == small.labels).mean()), float((whole.tokens == small.tokens).mean())
    return Fit(tuple(keep), len(whole.labels), *alike, whole.seconds / small.seconds)


def _step_seconds(weights: Weights) -> float:
    """The fastest of some passes of `STEP` tokens; the machine may be busy with other things."""
    ids, best = torch.ones(1, STEP, dtype=torch.long), float("inf")
    for _ in range(6):
        start = time.perf_counter()
        weights.model(ids, use_cache=False)
        best = min(best, time.perf_counter() - start)
    return best
