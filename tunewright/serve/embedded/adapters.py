"""LoRA of several releases on one base, in one pass: each row's own is added to what the base's linear layers say.

The base's weights stay as they are and are read once for all rows, whichever adapter they ask for. The adapters hang on the layers
as forward hooks; `use` tells them which rows of the next pass are whose. Kinds that are more than a product of two matrices (DoRA,
IA3 ...) are merged into a copy of the base instead, see `weights.py`.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from tunewright.core.errors import EnvironmentProblem
from tunewright.core.files import read_json
from tunewright.core.optional import require

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
BEFORE = "base_model.model."
UNUSUAL = (
    "use_dora",
    "rank_pattern",
    "alpha_pattern",
    "fan_in_fan_out",
    "lora_bias",
    "modules_to_save",
    "trainable_token_indices",
    "use_qalora",
)
Pair = tuple[torch.Tensor, torch.Tensor]  # down (r, in), up (out, r) times the scale


def is_plain_lora(directory: Path) -> bool:
    """Whether the adapter in `directory` is nothing but pairs of matrices beside linear layers."""
    config = read_json(directory / CONFIG)
    return config.get("peft_type") == "LORA" and config.get("bias", "none") == "none" and not any(config.get(key) for key in UNUSUAL)


class Adapters:
    """The LoRA pairs on the linear layers of one base model."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self._on: dict[str, dict[str, Pair]] = defaultdict(dict)  # layer's name -> adapter -> its pair
        self._hooks: dict[str, Any] = {}
        self._now: list[tuple[str, torch.Tensor | None]] = []

    def read(self, directory: Path, dtype: torch.dtype, device: torch.device) -> dict[str, Pair]:
        """The pairs in `directory` by layer. Raises `EnvironmentProblem` when one has no place in this model."""
        config, stored = read_json(directory / CONFIG), require("safetensors.torch", "train").load_file(directory / WEIGHTS)
        rank = int(config["r"])
        scale = config["lora_alpha"] / (math.sqrt(rank) if config.get("use_rslora") else rank)
        found: dict[str, dict[str, torch.Tensor]] = defaultdict(dict)
        for name, weight in stored.items():
            layer, _, side = name.removeprefix(BEFORE).rpartition(".lora_")
            found[layer][side.removesuffix(".weight")] = weight
        layers = dict(self.model.named_modules())
        for layer, pair in found.items():
            whole = set(pair) == {"A", "B"} and layer in layers
            if not whole or pair["A"].shape[1] != layers[layer].in_features or pair["B"].shape[0] != layers[layer].out_features:
                raise EnvironmentProblem(f"{directory}: the adapter does not fit this base model: {layer} has no partner of its size.")
        return {layer: (pair["A"].to(device, dtype), (pair["B"].float() * scale).to(device, dtype)) for layer, pair in found.items()}

    def add(self, key: str, pairs: dict[str, Pair]) -> None:
        layers = dict(self.model.named_modules())
        for layer, pair in pairs.items():
            self._on[layer][key] = pair
            if layer not in self._hooks:
                self._hooks[layer] = layers[layer].register_forward_hook(self._hook(self._on[layer]))

    def remove(self, key: str) -> None:
        for layer, pairs in list(self._on.items()):
            pairs.pop(key, None)
            if not pairs:
                self._hooks.pop(layer).remove()
                del self._on[layer]

    def use(self, rows: Sequence[str | None], device: torch.device | str = "cpu") -> None:
        """Whose adapter (None: the base alone) each token of the next pass has; one name stands for all tokens."""
        names = set(rows)
        if len(names) == 1:
            self._now = [(name, None) for name in names if name is not None]
            return
        places: dict[str, list[int]] = defaultdict(list)
        for place, name in enumerate(rows):
            if name is not None:
                places[name].append(place)
        self._now = [(name, torch.tensor(where, device=device)) for name, where in places.items()]

    def _hook(self, mine: dict[str, Pair]) -> Any:
        def add(module: Any, args: tuple[torch.Tensor, ...], out: torch.Tensor) -> torch.Tensor:
            for name, places in self._now:
                pair = mine.get(name)
                if pair is None:
                    continue
                down, up = pair
                if places is None:
                    out = out + F.linear(F.linear(args[0], down), up)
                else:
                    out[:, places] += F.linear(F.linear(args[0][:, places], down), up)
            return out

        return add
