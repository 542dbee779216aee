"""How much memory a candidate needs, from the model's shape alone, so that what cannot fit is refused before it starts.

Measured with SmolLM2-135M (peak resident memory of a process that takes two steps): within 4% for LoRA, on all layers
or the top half, with 484 and 1,825 tokens a batch; 11% too much for full fine-tuning.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psutil
import torch

from tunewright.core.errors import EnvironmentProblem
from tunewright.core.optional import require

RUNTIME = 450 << 20  # Python with torch, transformers and peft loaded


@dataclass(frozen=True)
class Estimate:
    """Bytes, all in fp32: weights, what the optimiser (AdamW) and gradients add, and one batch on its way."""

    weights: int
    learning: int
    activations: int
    head: int

    @property
    def total(self) -> int:
        return RUNTIME + self.weights + self.learning + self.activations + self.head


def estimate(config: Any, *, trainable: int, tokens: int, heads: int, layers: int | None = None) -> Estimate:
    """Memory of training `trainable` weights of the model `config` describes.

    `tokens` are those of one packed batch, `heads` the answer positions among them, `layers` how many layers keep their
    intermediate results for the backward pass (all, unless the lower ones are frozen).
    """
    inner, hidden = config.intermediate_size, config.hidden_size
    kept = 12 * hidden + 8 * inner  # numbers that a Llama-like layer with LoRA keeps for each token
    depth = config.num_hidden_layers if layers is None else layers
    return Estimate(
        weights=4 * total_parameters(config),
        learning=12 * trainable,
        activations=4 * kept * tokens * depth,
        head=4 * 3 * heads * config.vocab_size,
    )


def total_parameters(config: Any) -> int:
    """Number of weights of a model, counted without making them."""
    with torch.device("meta"):
        model = require("transformers", "train").AutoModelForCausalLM.from_config(config)
    return sum(parameter.numel() for parameter in model.parameters())


def refuse_what_cannot_fit(needed: Estimate, name: str) -> None:
    """Raise EnvironmentProblem if `name` needs more memory than this machine has free."""
    free = psutil.virtual_memory().available
    if needed.total > free:
        raise EnvironmentProblem(
            f"tune.techniques: {name} needs about {needed.total / 2**30:.1f} GB of memory and {free / 2**30:.1f} GB are free. "
            "Lower tune.per_device_train_batch_size or model.max_length, take lora instead of full, or use a smaller model."
        )
