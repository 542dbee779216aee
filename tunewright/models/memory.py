"""How much memory a candidate needs, from the model's shape alone, so that what cannot fit is refused before it starts.

Measured with SmolLM2-135M (peak resident memory of a process that takes two steps): within 4% for LoRA, on all layers
or the top half, with 484 and 1,825 tokens a batch; 11% too much for full fine-tuning.
"""

from __future__ import annotations

from typing import Any

import psutil
import torch

from tunewright.core.errors import EnvironmentProblem
from tunewright.core.optional import require
from tunewright.core.parts import Technique
from tunewright.models.load import quiet

RUNTIME = 450 << 20  # Python with torch, transformers and peft loaded


def require_memory(model: Any, technique: Technique, tokens: int, *, workers: int = 1) -> int:
    """Bytes that training one candidate takes; raises EnvironmentProblem if `workers` of them do not fit in free memory.

    `tokens` are those of one packed batch: the shared prefix once, and each row's own.
    """
    learning, whole = _weights(model, technique)
    layers = model.config.num_hidden_layers - technique.frozen_layers(model)
    needed = estimate(model.config, weights=whole, learning=learning, tokens=tokens, layers=layers)
    free = psutil.virtual_memory().available
    if needed * workers > free:
        raise EnvironmentProblem(
            f"{workers} x {needed / 2**30:.1f} GiB of memory are needed and {free / 2**30:.1f} GiB are free. Lower "
            "tune.workers, tune.per_device_train_batch_size or model.max_length, or take a smaller model or technique."
        )
    return needed


def estimate(config: Any, *, weights: int, learning: int, tokens: int, layers: int) -> int:
    """Bytes in fp32: weights; gradients and two moments of those that learn; what `layers` keep of a batch for the backward pass."""
    inner = getattr(config, "intermediate_size", None) or 4 * config.hidden_size
    kept = 12 * config.hidden_size + 8 * inner  # numbers a token, in a Llama-like layer with LoRA
    logits = 3 * config.vocab_size * tokens // 8  # about one answer position in eight tokens
    return RUNTIME + 4 * int(weights + 3 * learning + kept * tokens * layers + logits)


def _weights(model: Any, technique: Technique) -> tuple[int, int]:
    """Number of weights that learn and of all, counted on a model without storage."""
    with quiet(), torch.device("meta"), torch.random.fork_rng():
        shape = require("transformers", "train").AutoModelForCausalLM.from_config(model.config)
        tuned = technique.apply(shape, lambda *_, **__: {"input_ids": [0]})  # any tokens do for counting
    counts = [(parameter.numel(), parameter.requires_grad) for parameter in tuned.parameters()]
    return sum(count for count, learns in counts if learns), sum(count for count, _ in counts)
