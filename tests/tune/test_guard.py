from __future__ import annotations

import random
from typing import Any

import pytest

from tunewright.tune.guard import Guard


def step(number: int, loss: float | None, norm: float | None = 1.0) -> dict[str, Any]:
    return {"kind": "train", "step": number, "loss": loss, "grad_norm": norm}


def look(number: int, loss: float, macro_f1: float, epoch: float = 2.0) -> dict[str, Any]:
    return {"kind": "validation", "step": number, "loss": loss, "macro_f1": macro_f1, "epoch": epoch}


def alarms(*records: dict[str, Any]) -> list[str]:
    return [alarm["name"] for alarm in Guard("macro_f1", list(records)).alarms]


CALM = [step(number, 1.0) for number in range(1, 9)]


@pytest.mark.parametrize(
    ("record", "name"),
    [
        (step(9, 2.5), "loss_spike"),
        (step(9, 1.0, 11.0), "gradient_norm"),
        (step(9, None), "not_a_number"),
        (step(9, 1.0, None), "not_a_number"),
    ],
)
def test_a_bad_step_raises_its_alarm(record: dict[str, Any], name: str) -> None:
    assert alarms(*CALM) == []
    assert alarms(*CALM, record) == [name]


def test_only_a_value_that_is_not_a_number_stops_training() -> None:
    assert Guard("macro_f1", [*CALM, step(9, None)]).must_stop
    assert not Guard("macro_f1", [*CALM, step(9, 9.0)]).must_stop


def test_an_alarm_names_step_value_threshold_and_advice_and_comes_once() -> None:
    guard = Guard("macro_f1", CALM)
    (alarm,) = guard.observe(step(9, 5.0))
    assert (alarm["step"], alarm["value"], alarm["threshold"]) == (9, 5.0, 2.0)
    assert "learning_rate" in alarm["advice"]
    assert guard.observe(step(10, 6.0)) == []


def test_validation_that_got_worse_and_a_generalisation_gap() -> None:
    fit = [step(number, 0.2) for number in range(11, 20)]
    assert alarms(look(0, 2.0, 0.3), look(10, 1.0, 0.4), *fit, look(20, 1.2, 0.4)) == ["validation_worse", "generalisation_gap"]
    assert alarms(look(0, 2.0, 0.3), look(10, 1.0, 0.4), look(20, 1.05, 0.4)) == []


def test_no_generalisation_gap_before_a_row_was_seen_twice() -> None:
    fit = [step(number, 0.2) for number in range(1, 9)]
    assert alarms(look(0, 2.0, 0.3), *fit, look(9, 1.9, 0.4, epoch=0.5)) == []


def test_a_loss_that_fell_without_a_better_metric_is_called_out() -> None:
    guard = Guard("macro_f1", [look(0, 4.0, 0.4), look(10, 0.5, 0.4)])
    (alarm,) = guard.finish(look(10, 0.5, 0.4))
    assert alarm["name"] == "perplexity_paradox"
    assert Guard("macro_f1", [look(0, 4.0, 0.4)]).finish(look(10, 0.5, 0.5)) == []


def test_memory_probe_is_a_half_when_nothing_is_remembered() -> None:
    guard = Guard("macro_f1", [])
    assert guard.probe_memory(5, [1.0, 2.0, 3.0], [1.0, 2.0, 3.0]) == 0.5
    assert guard.alarms == []
    assert guard.probe_memory(5, [0.1] * 50, [1.0] * 50) == 1.0
    assert guard.alarms[0]["name"] == "memorisation"


def test_replaying_the_history_gives_the_same_alarms() -> None:
    history = [look(0, 2.0, 0.3), *CALM, step(9, 5.0), look(10, 1.0, 0.4), step(11, 1.0, 50.0), look(20, 3.0, 0.3)]
    grown = Guard("macro_f1", [])
    for record in history:
        grown.observe(record)
    assert grown.alarms == Guard("macro_f1", history).alarms != []


def test_the_memory_probe_rarely_alarms_when_nothing_is_remembered() -> None:
    """32 rows against 32 of the same distribution: at most one false alarm in a hundred."""
    rng = random.Random(3)
    false = 0
    for _ in range(400):
        seen, unseen = ([rng.expovariate(1.0) for _ in range(32)] for _ in range(2))
        guard = Guard("macro_f1", [])
        guard.probe_memory(1, seen, unseen)
        false += bool(guard.alarms)
    assert false <= 4
