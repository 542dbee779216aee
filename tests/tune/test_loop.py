from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.tune.small_loop import Small, equal
from tunewright.core.files import read_jsonl

DROPOUT = {"name": "lora", "lora_dropout": 0.3, "trainable_layers": 1.0}


def steps(small: Small) -> list[dict[str, Any]]:
    return [record for record in read_jsonl(small.folder / "history.jsonl") if record["kind"] == "train"]


def looks(small: Small) -> list[dict[str, Any]]:
    return [record for record in read_jsonl(small.folder / "history.jsonl") if record["kind"] == "validation"]


@pytest.mark.parametrize("cut", [(8, 2), (4, 4), (2, 8)])
def test_gradient_accumulation_changes_nothing_not_even_in_the_last_partial_window(place: Path, cut: tuple[int, int]) -> None:
    """24 rows in steps of 16: every second step holds 8."""
    runs = []
    for batch, pieces in ((16, 1), cut):
        small = Small(place / f"{batch}", "full", per_device_train_batch_size=batch, gradient_accumulation_steps=pieces)
        small.loop().run()
        runs.append((steps(small), small.weights()))
    (one, weights), (other, others) = runs
    assert [record["rows"] for record in one] == [record["rows"] for record in other] == [16, 24, 40, 48, 64, 72]
    for a, b in zip(one, other, strict=True):
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-5)
        assert a["grad_norm"] == pytest.approx(b["grad_norm"], rel=1e-4)
    for name, weight in weights.items():
        torch.testing.assert_close(weight, others[name], atol=2e-5, rtol=1e-3)


def test_the_loss_of_a_step_is_the_mean_over_its_answer_tokens(place: Path) -> None:
    small = Small(place, per_device_train_batch_size=24, max_steps=1)
    expected = small.mean_loss()
    small.loop().run()
    assert steps(small)[0]["loss"] == pytest.approx(expected, rel=1e-6)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(place: Path) -> None:
    found = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        small = Small(place / name, DROPOUT, seed=seed)
        small.loop().run()
        found.append(small.weights())
    assert equal(found[0], found[1])
    assert not equal(found[0], found[2])


class Stop(Exception):
    pass


def interrupted(small: Small, after: int) -> None:
    calls = []

    def loss(rows: list[int]) -> Any:
        calls.append(rows)
        if len(calls) > after:
            raise Stop
        return small.loss(rows)

    with pytest.raises(Stop):
        small.loop(loss=loss).run()


@pytest.mark.parametrize("technique", [DROPOUT, "bottleneck", "prompt_tuning", "full"])
@pytest.mark.parametrize("after", [1, 3, 5])
def test_an_interrupted_run_goes_on_to_the_same_bits(place: Path, technique: Any, after: int) -> None:
    whole = Small(place / "whole", technique)
    whole.loop().run()
    interrupted(Small(place / "cut", technique), after)
    torch.manual_seed(999)
    again = Small(place / "cut", technique)
    progress = again.loop().run()
    assert progress.resumed_at == [0 if after < 3 else 3]
    assert equal(whole.weights(), again.weights())
    assert [r["loss"] for r in steps(whole)] == [r["loss"] for r in steps(again)]
    assert [r["learning_rate"] for r in steps(whole)] == [r["learning_rate"] for r in steps(again)]
    assert len(looks(again)) == 3


@pytest.mark.parametrize("part", ["random|torch", "exp_avg_sq", "exp_avg"])
def test_resume_needs_every_part_of_a_checkpoint(place: Path, part: str) -> None:
    """The same comparison fails when one part is wrong, so it would notice a part that is not restored."""
    whole = Small(place / "whole", DROPOUT)
    whole.loop().run()
    interrupted(Small(place / "cut", DROPOUT), 4)
    file = place / "cut" / "candidate" / "checkpoint-3" / "training.safetensors"
    tensors = load_file(file)
    torch.manual_seed(4)
    other = torch.get_rng_state()
    save_file({name: other if name == part else t * 2 if name.endswith(f"|{part}") else t for name, t in tensors.items()}, file)
    again = Small(place / "cut", DROPOUT)
    again.loop().run()
    assert not equal(whole.weights(), again.weights())


def test_only_the_best_and_the_last_checkpoint_are_kept(place: Path) -> None:
    small = Small(place, max_steps=8, evaluations=4, early_stopping=None)
    scores = iter([0.5, 0.9, 0.3, 0.2])
    loop = small.loop(look=lambda: {"loss": 1.0, "accuracy": 0.0, "macro_f1": next(scores)})
    loop.untuned = {"loss": 2.0, "accuracy": 0.0, "macro_f1": 0.1}
    assert loop.run().best_step == 4
    assert sorted(path.name for path in small.folder.glob("checkpoint-*")) == ["checkpoint-4", "checkpoint-8"]


def test_early_stopping_ends_the_run_and_puts_the_best_weights_back(place: Path) -> None:
    small = Small(place, max_steps=20, evaluations=10, early_stopping={"patience": 2})
    scores, kept = iter([0.3, 0.6, 0.5, 0.6, 0.9]), {}

    def look() -> dict[str, float]:
        score = next(scores)
        kept[score] = small.weights()
        return {"loss": 1.0, "accuracy": 0.0, "macro_f1": score}

    loop = small.loop(look)
    loop.untuned = {"loss": 2.0, "accuracy": 0.0, "macro_f1": 0.1}
    progress = loop.run()
    assert (progress.best_step, progress.step) == (4, 8)
    assert progress.stopped_because == "no better macro_f1 in 2 looks"
    kept_at_best = dict(load_file(small.folder / "checkpoint-4" / "weights.safetensors"))
    assert all(torch.equal(weight, kept_at_best[name]) for name, weight in loop.weights.items())


def test_when_nothing_beats_the_untuned_model_its_weights_come_back(place: Path) -> None:
    small = Small(place, "full")
    loop = small.loop(look=lambda: {"loss": 9.0, "accuracy": 0.0, "macro_f1": 0.0})
    loop.untuned = {"loss": 1.0, "accuracy": 0.0, "macro_f1": 0.5}
    assert loop.run().best_step == 0
    assert equal(small.before, small.own)


def test_a_loss_that_is_not_a_number_stops_training_before_it_spoils_the_weights(place: Path) -> None:
    small = Small(place, max_steps=6, evaluations=3)
    calls = []

    def loss(rows: list[int]) -> Any:
        calls.append(rows)
        summed, tokens = small.loss(rows)
        return (summed * math.nan if len(calls) == 4 else summed), tokens

    loop = small.loop(loss=loss)
    progress = loop.run()
    assert progress.stopped_because == "loss or gradient is not a number"
    assert (progress.step, progress.best_step) == (4, 2)
    assert [alarm["name"] for alarm in loop.guard.alarms] == ["not_a_number"]
    assert math.isfinite(small.mean_loss())
    assert steps(small)[-1]["loss"] is None


def test_a_budget_of_minutes_becomes_a_number_of_steps_that_the_checkpoint_remembers(place: Path) -> None:
    small = Small(place, {"name": "lora", "warmup_steps": 2}, max_steps=None, minutes=0.02, num_train_epochs=1000)
    progress = small.loop().run()
    assert progress.step == progress.max_steps
    assert progress.stopped_because == "minutes reached"
    assert 0.2 < progress.train_seconds / 1.2 < 4  # seconds; timing four tiny steps is rough
    assert steps(small)[-1]["learning_rate"] < steps(small)[-2]["learning_rate"]


def test_the_number_of_epochs_caps_every_budget(place: Path) -> None:
    for name, settings in (
        ("a", {"max_steps": 50}),
        ("b", {"max_steps": None, "minutes": 5.0}),
        ("c", {"max_steps": None, "minutes": None}),
    ):
        small = Small(place / name, num_train_epochs=1.5, **settings)
        progress = small.loop().run()
        assert (progress.step, progress.stopped_because) == (9, "num_train_epochs reached")


def test_history_has_the_columns_that_others_read(place: Path) -> None:
    small = Small(place)
    small.loop().run()
    assert set(steps(small)[0]) == {"kind", "step", "epoch", "rows", "tokens", "seconds", "loss", "learning_rate", "grad_norm"}
    assert set(looks(small)[0]) == {"kind", "step", "epoch", "loss", "accuracy", "macro_f1", "seconds"}
    assert [record["step"] for record in looks(small)] == [0, 3, 6]
