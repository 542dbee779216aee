"""Checkpoints from which a run goes on to the bit: weights, optimiser, place, plan and every random state.

    checkpoint-40/weights.safetensors     the weights that learn
                  training.safetensors    AdamW's moments and the random states of torch and numpy
                  state.json              step, plan (max_steps), best look so far, Python's random state

No pickle anywhere. A directory appears whole or not at all. The best and the last are kept.
"""

from __future__ import annotations

import random
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from tunewright.core.files import atomic_dir, read_json, write_json

WEIGHTS, TRAINING, STATE = "weights.safetensors", "training.safetensors", "state.json"
Tensors = dict[str, torch.Tensor]


@dataclass
class Progress:
    """Where training stands: all that the loop needs besides tensors. `step` steps are done; `max_steps` is None until planned."""

    step: int = 0
    max_steps: int | None = None
    limit: str = ""  # the setting that max_steps comes from
    best_step: int = 0
    best_value: list[float] = field(default_factory=list)
    looks_without_gain: int = 0
    rows_seen: int = 0
    tokens_seen: int = 0
    train_seconds: float = 0.0
    evaluation_seconds: float = 0.0
    stopped_because: str = ""
    resumed_at: list[int] = field(default_factory=list)


def learning_weights(model: Any) -> dict[str, torch.nn.Parameter]:
    """The weights that learn, by name, in a fixed order."""
    return {name: weight for name, weight in model.named_parameters() if weight.requires_grad}


def save(folder: Path, model: Any, optimizer: torch.optim.Optimizer, progress: Progress) -> Path:
    """Write `checkpoint-STEP` below `folder`, then remove all but the best and this one."""
    weights = learning_weights(model)
    moments = optimizer.state_dict()["state"]
    training = {
        f"{name}|{key}": value.detach().clone()
        for index, name in enumerate(weights)
        for key, value in moments.get(index, {}).items()
    }
    kind, keys, position, has_gauss, gauss = np.random.get_state()
    training["random|torch"] = torch.get_rng_state()
    training["random|numpy"] = torch.from_numpy(np.asarray(keys).astype(np.int64))
    target = folder / f"checkpoint-{progress.step}"
    with atomic_dir(target) as beside:
        save_file({name: weight.detach().contiguous() for name, weight in weights.items()}, beside / WEIGHTS)
        save_file(training, beside / TRAINING)
        state = {
            "progress": asdict(progress),
            "numpy": [kind, position, has_gauss, gauss],
            "python": random.getstate(),
        }
        write_json(beside / STATE, state)
    for other in folder.glob("checkpoint-*"):
        if other not in (target, folder / f"checkpoint-{progress.best_step}"):
            shutil.rmtree(other)
    return target


def latest(folder: Path) -> Path | None:
    """The checkpoint with the highest step from which training can go on, or None."""
    found = (path.parent for path in folder.glob(f"checkpoint-*/{TRAINING}"))
    return max(found, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


def restore(directory: Path, model: Any, optimizer: torch.optim.Optimizer) -> Progress:
    """Put weights, optimiser and every random state back; return the place to go on from."""
    restore_weights(directory, model)
    training, state = load_file(directory / TRAINING), read_json(directory / STATE)
    moments: dict[int, Tensors] = {}
    for index, name in enumerate(learning_weights(model)):
        own = {
            key: training[f"{name}|{key}"] for key in ("step", "exp_avg", "exp_avg_sq") if f"{name}|{key}" in training
        }
        if own:
            moments[index] = own
    optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
    torch.set_rng_state(training["random|torch"])
    kind, position, has_gauss, gauss = state["numpy"]
    np.random.set_state((kind, training["random|numpy"].numpy().astype(np.uint32), position, has_gauss, gauss))
    version, numbers, gauss_next = state["python"]
    random.setstate((version, tuple(numbers), gauss_next))
    return Progress(**state["progress"])


def restore_weights(directory: Path, model: Any) -> None:
    """Put the learnt weights of a checkpoint back into `model`."""
    stored = load_file(directory / WEIGHTS)
    weights = learning_weights(model)
    if stored.keys() != weights.keys():
        odd = sorted(stored.keys() ^ weights.keys())
        raise ValueError(f"{directory} holds other weights than the model learns, the first: {odd[0]}")
    with torch.no_grad():
        for name, weight in weights.items():
            weight.copy_(stored[name])
