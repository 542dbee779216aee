"""Where the parts of a decoder sit: embeddings, layers, rotary positions, final norm, head.

Running a model layer by layer (`tree.py`, `frozen.py`) and putting adapters beside a layer's MLP (`bottleneck.py`)
need these names. They are public attributes, the same in every family of `FAMILIES`; a test compares each family
with its own forward pass. Other families work through the padded path of `tree.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from tunewright.core.errors import EnvironmentProblem

FAMILIES = ("llama", "mistral", "qwen2", "qwen3", "gpt_neox", "olmo2", "phi3", "smollm3", "starcoder2")


@dataclass(frozen=True)
class Anatomy:
    """The parts of one causal language model; adapters inside its layers come along."""

    causal: Any  # the plain transformers model
    embed: Callable[[torch.Tensor], torch.Tensor]
    layers: torch.nn.ModuleList
    rotary: Callable[..., Any]
    norm: Callable[[torch.Tensor], torch.Tensor]
    head: Callable[[torch.Tensor], torch.Tensor]


def plain(model: Any) -> Any:
    """The transformers model inside a PEFT model, or the model itself."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def anatomy(model: Any) -> Anatomy:
    """The parts of `model`, which may be wrapped by PEFT. Raises EnvironmentProblem for a family laid out differently."""
    causal = plain(model)
    inner = causal.base_model
    norm = getattr(inner, "final_layer_norm", None) or getattr(inner, "norm", None)
    if norm is None or not hasattr(inner, "layers") or not hasattr(inner, "rotary_emb"):
        raise EnvironmentProblem(
            f"model.base: models of family {causal.config.model_type} cannot be taken apart into layers, which this technique "
            f"needs. Take prompt_tuning or full, or a model of one of these families: {', '.join(FAMILIES)}."
        )
    embed, head = causal.get_input_embeddings(), causal.get_output_embeddings()
    return Anatomy(causal, embed, inner.layers, inner.rotary_emb, norm, head)


def soft_prompt(model: Any) -> torch.Tensor | None:
    """The learnt virtual tokens (1, v, d) that PEFT puts before every sequence, or None."""
    config = getattr(model, "active_peft_config", None)
    prompt = model.get_prompt(batch_size=1) if config is not None and config.is_prompt_learning else None
    return prompt if isinstance(prompt, torch.Tensor) else None


def walks(model: Any, longest: int) -> bool:
    """Whether `model` can be run layer by layer on sequences of up to `longest` tokens with the same result."""
    config, peft = plain(model).config, getattr(model, "active_peft_config", None)
    window = getattr(config, "sliding_window", None)
    if peft is not None and peft.is_prompt_learning:
        if soft_prompt(model) is None:  # prefix tuning and its kin put keys and values into every layer
            return False
        longest += peft.num_virtual_tokens
    return config.model_type in FAMILIES and (window is None or longest <= window)
