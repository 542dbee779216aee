from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tunewright.tune import checkpoints
from tunewright.tune.checkpoints import Progress


def model_and_optimizer() -> tuple[Any, torch.optim.Optimizer]:
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 2))
    model[0].requires_grad_(False)
    return model, torch.optim.AdamW(model[1].parameters(), lr=0.1)


def step(model: Any, optimizer: torch.optim.Optimizer) -> None:
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    optimizer.zero_grad()


def test_everything_comes_back(tmp_path: Path) -> None:
    model, optimizer = model_and_optimizer()
    step(model, optimizer)
    progress = Progress(step=1, max_steps=9, limit="minutes", best_value=[0.5, -1.0], train_seconds=2.5)
    np.random.standard_normal()  # leaves a second number waiting, which is state too
    random.gauss(0, 1)
    place = checkpoints.save(tmp_path, model, optimizer, progress)

    def draw() -> list[Any]:
        return [random.random(), random.gauss(0, 1), np.random.standard_normal(), np.random.rand(), torch.rand(3).tolist()]

    drawn = draw()
    step(model, optimizer)
    after = [weight.detach().clone() for weight in model.parameters()]
    fresh, again = model_and_optimizer()
    fresh[0].load_state_dict(model[0].state_dict())
    assert checkpoints.restore(place, fresh, again) == progress
    assert draw() == drawn
    step(fresh, again)
    assert all(torch.equal(one, other) for one, other in zip(after, fresh.parameters(), strict=True))


def test_only_weights_that_learn_are_stored(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    model, optimizer = model_and_optimizer()
    place = checkpoints.save(tmp_path, model, optimizer, Progress())
    assert set(load_file(place / "weights.safetensors")) == {"1.weight", "1.bias"}


def test_the_best_and_the_newest_stay(tmp_path: Path) -> None:
    model, optimizer = model_and_optimizer()
    for number, best in ((0, 0), (5, 5), (10, 5), (15, 5)):
        checkpoints.save(tmp_path, model, optimizer, Progress(step=number, best_step=best))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-15", "checkpoint-5"]
    assert checkpoints.latest(tmp_path) == tmp_path / "checkpoint-15"


def test_a_checkpoint_of_other_weights_is_refused(tmp_path: Path) -> None:
    model, optimizer = model_and_optimizer()
    place = checkpoints.save(tmp_path, model, optimizer, Progress())
    model[0].requires_grad_(True)
    with pytest.raises(ValueError, match=r"other weights than the model learns, the first: 0.bias"):
        checkpoints.restore_weights(place, model)


def test_a_write_that_was_cut_short_leaves_the_older_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, optimizer = model_and_optimizer()
    checkpoints.save(tmp_path, model, optimizer, Progress(step=1))

    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints, "save_file", full_disk)
    with pytest.raises(Exception, match="no space left"):
        checkpoints.save(tmp_path, model, optimizer, Progress(step=2))
    assert checkpoints.latest(tmp_path) == tmp_path / "checkpoint-1"
    assert not list(tmp_path.glob("*.tmp"))
