"""Checkpoints from which a run goes on to the bit: weights, optimiser, place, plan and every random state.

    checkpoint-40/weights.safetensors     the weights that learn
                  training.safetensors    AdamW's moments and torch's random state
                  state.json              step, plan (max_steps), best look so far, random states of Python and numpy

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
    moments = optimizer.state_dict()["state"]
    training = {f"{index}|{key}": t.detach().clone() for index, own in moments.items() for key, t in own.items()}
    training["random|torch"] = torch.get_rng_state()
    kind, keys, *rest = np.random.get_state()
    state = {"progress": asdict(progress), "numpy": [kind, np.asarray(keys).tolist(), *rest], "python": random.getstate()}
    target = folder / f"checkpoint-{progress.step}"
    with atomic_dir(target) as beside:
        save_file({name: w.detach().contiguous() for name, w in learning_weights(model).items()}, beside / WEIGHTS)
        save_file(training, beside / TRAINING)
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
    moments: dict[int, dict[str, torch.Tensor]] = {}
    for place, tensor in training.items():
        index, _, key = place.partition("|")
        if index.isdigit():
            moments.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
    torch.set_rng_state(training["random|torch"])
    np.random.set_state(tuple(state["numpy"]))
    version, numbers, gauss = state["python"]
    random.setstate((version, tuple(numbers), gauss))
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
