"""A bottleneck adapter beside each chosen layer's MLP: mlp(x) + up(silu(down(x))), with `up` zero at the start.

This is the parallel adapter of He et al. 2022 (arXiv 2110.04366), which PEFT does not have. It is stored in PEFT's layout
(`adapter_config.json` with peft_type BOTTLENECK, `adapter_model.safetensors`). In Llama-like models, whose MLP is
down(silu(gate(x)) * up(x)), it merges exactly into a plain model with an MLP wider by r: see `merged`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tunewright.core.errors import EnvironmentProblem
from tunewright.core.files import read_json, write_json
from tunewright.core.optional import require
from tunewright.models.anatomy import anatomy

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PARTS = ("down", "up")


class WithBottleneck(nn.Module):
    """An MLP with an adapter beside it."""

    def __init__(self, mlp: Any, size: int, r: int, dropout: float) -> None:
        super().__init__()
        self.mlp = mlp
        self.down, self.up = nn.Linear(size, r), nn.Linear(r, size)
        self.dropout = nn.Dropout(dropout)
        nn.init.zeros_(self.down.bias)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        beside = self.up(self.dropout(nn.functional.silu(self.down(hidden))))
        out: torch.Tensor = self.mlp(hidden) + beside
        return out


def add_bottleneck(model: Any, r: int, *, layers: Iterable[int] | None = None, dropout: float = 0.0) -> Any:
    """Freeze `model` and put an adapter of width `r` beside the MLP of `layers` (all of them by default). Changes `model`."""
    model.requires_grad_(False)
    blocks = anatomy(model).layers
    for i in range(len(blocks)) if layers is None else sorted(set(layers)):
        blocks[i].mlp = WithBottleneck(blocks[i].mlp, model.config.hidden_size, r, dropout)
    return model


def save_bottleneck(model: Any, directory: Path, base: str = "") -> None:
    """Write the adapters of `model` to `directory`."""
    found = _adapters(model)
    weights = {
        f"layers.{i}.{part}.{name}": tensor.detach().contiguous()
        for i, adapter in found.items()
        for part in PARTS
        for name, tensor in getattr(adapter, part).named_parameters()
    }
    directory.mkdir(parents=True, exist_ok=True)
    require("safetensors.torch", "train").save_file(weights, directory / WEIGHTS)
    shape = {"r": _width(found), "layers": list(found)}
    write_json(directory / CONFIG, {"peft_type": "BOTTLENECK", "base_model_name_or_path": base, **shape})


def load_bottleneck(model: Any, directory: Path) -> Any:
    """Put the adapters stored in `directory` on a plain `model`; every weight must find its place."""
    config, weights = (read_json(directory / CONFIG), require("safetensors.torch", "train").load_file(directory / WEIGHTS))
    try:
        add_bottleneck(model, config["r"], layers=config["layers"])
        for i, adapter in _adapters(model).items():
            for part in PARTS:
                mine = {name: weights.pop(f"layers.{i}.{part}.{name}") for name in ("weight", "bias")}
                adapter.get_submodule(part).load_state_dict(mine)
    except (IndexError, KeyError, RuntimeError) as error:
        raise EnvironmentProblem(f"{directory}: the adapter does not fit this base model: {error}") from error
    if weights:
        raise EnvironmentProblem(f"{directory}: the adapter has a weight without a place, {min(weights)}.")
    return model


def merged(model: Any) -> Any:
    """A plain model of the same architecture that computes the same: each MLP has r more units, gate = down(x), up = 1.

    Layers without an adapter get r units that add zero, for the configuration has one width. The MLPs get biases.
    Raises EnvironmentProblem for families without a gated silu MLP with optional biases (`config.mlp_bias`).
    """
    config, found = model.config, _adapters(model)
    if config.hidden_act != "silu" or not hasattr(config, "mlp_bias"):
        raise EnvironmentProblem(
            f"A bottleneck adapter merges only into Llama-like models; {config.model_type} has no such MLP. "
            "Release the adapter itself instead."
        )
    r = _width(found)
    settings = config.to_dict() | {"intermediate_size": config.intermediate_size + r, "mlp_bias": True}
    fresh = require("transformers", "train").AutoModelForCausalLM.from_config(type(config).from_dict(settings))
    fresh.load_state_dict({k: v for k, v in model.state_dict().items() if ".mlp." not in k}, strict=False)
    for i, (old, new) in enumerate(zip(anatomy(model).layers, anatomy(fresh).layers, strict=True)):
        new.get_submodule("mlp").load_state_dict(_wider(getattr(old.mlp, "mlp", old.mlp), found.get(i), r))
    fresh.tie_weights()
    fresh.generation_config = model.generation_config
    return fresh.eval()


def _wider(mlp: Any, adapter: WithBottleneck | None, r: int) -> dict[str, torch.Tensor]:
    """The weights of an MLP that is `mlp` plus `adapter`, r units wider."""
    gate, up, down, zero = mlp.gate_proj, mlp.up_proj, mlp.down_proj, torch.zeros
    size = gate.in_features
    bias = [zero(part.out_features) if part.bias is None else part.bias for part in (gate, up, down)]
    into = (zero(r, size), zero(r)) if adapter is None else (adapter.down.weight, adapter.down.bias)
    back = (zero(size, r), zero(size)) if adapter is None else (adapter.up.weight, adapter.up.bias)
    return {
        "gate_proj.weight": torch.cat([gate.weight, into[0]]),
        "gate_proj.bias": torch.cat([bias[0], into[1]]),
        "up_proj.weight": torch.cat([up.weight, zero(r, size)]),
        "up_proj.bias": torch.cat([bias[1], torch.ones(r)]),
        "down_proj.weight": torch.cat([down.weight, back[0]], 1),
        "down_proj.bias": bias[2] + back[1],
    }


def _adapters(model: Any) -> dict[int, WithBottleneck]:
    return {i: block.mlp for i, block in enumerate(anatomy(model).layers) if isinstance(block.mlp, WithBottleneck)}


def _width(found: dict[int, WithBottleneck]) -> int:
    return next(iter(found.values())).down.out_features
