"""The verdict: its gates one by one, and what it promises over many repeated projects (by simulation)."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tunewright.core.plugins import build
from tunewright.core.recipe import ShipIf
from tunewright.core.score import Gate, Predictions, Verdict
from tunewright.evaluate.results import notes
from tunewright.evaluate.verdict import System, compare, judge

Ints = npt.NDArray[np.int64]
LABELS = ["negative", "neutral", "positive"]
KEPT = Gate("token_contract", True, None, None, "The tokens are those of training.")
ACCURACY, MACRO = build("metrics", "accuracy"), build("metrics", "macro_f1")


def system(name: str, kind: Any, truth: Ints, answers: Ints, nats: float = 0.0, uses_model: bool = True) -> System:
    likelihood = np.full((len(truth), 3), nats)
    return System(name, kind, Predictions(LABELS, answers, truth, answer_nll=likelihood), uses_model)


def with_perplexity(one: System, value: float) -> System:
    shape = (len(one.predictions.predicted), 3)
    known = {"answer_nll": np.full(shape, np.log(value)), "answer_tokens": np.ones(shape, dtype=np.int64)}
    return dataclasses.replace(one, predictions=dataclasses.replace(one.predictions, **known))


def answer(rng: np.random.Generator, truth: Ints, right: float) -> Ints:
    return np.where(rng.random(len(truth)) < right, truth, (truth + rng.integers(1, 3, len(truth))) % 3)


def verdict(
    rows: int = 400,
    base: float = 0.5,
    cheap: float | None = None,
    tuned: float = 0.8,
    *,
    nats: float = 1.0,
    contract: Gate = KEPT,
    openings: int = 1,
    gain: float = 0.15,
    groups: Ints | None = None,
) -> Verdict:
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 3, rows)
    systems = [system("base_zero_shot", "base", truth, answer(rng, truth, base))]
    systems.append(system("lora", "candidate", truth, answer(rng, truth, tuned), nats))
    if cheap is not None:
        systems.append(system("tfidf_logistic", "baseline", truth, answer(rng, truth, cheap), uses_model=False))
    ship_if = ShipIf(relative_gain=gain, confidence=0.95)
    return judge(MACRO, systems, "lora", np.arange(rows) if groups is None else groups, ship_if, openings, contract)


def gate(found: Verdict, name: str) -> Gate:
    return next(one for one in found.gates if one.name == name)


def test_a_large_gain_ships() -> None:
    found = verdict(cheap=0.6)
    assert found.verdict == "SHIP"
    assert all(one.passed for one in found.gates)
    assert 0 < found.ci_low < found.difference < found.ci_high
    assert found.p_value < 0.001


def test_the_verdict_file_has_every_agreed_key_and_is_json() -> None:
    written = json.loads(json.dumps(dataclasses.asdict(verdict()), allow_nan=False))
    assert set(written) == {
        "verdict", "metric", "baseline", "candidate", "difference", "relative_gain", "ci_low", "ci_high", "p_value", "n",
        "minimum_detectable_difference", "test_openings", "gates",
    }  # fmt: skip
    assert set(written["gates"][0]) == {"name", "passed", "value", "threshold", "text"}


def test_a_worse_model_does_not_ship() -> None:
    found = verdict(base=0.7, tuned=0.5)
    assert found.verdict == "DON'T SHIP"
    assert gate(found, "beats_base").passed is False


def test_a_certain_gain_below_the_one_asked_for_does_not_ship() -> None:
    found = verdict(rows=20_000, base=0.7, tuned=0.74)
    assert found.ci_low > 0
    assert found.verdict == "DON'T SHIP"
    assert "where +15% is asked for" in gate(found, "beats_base").text


def test_too_few_rows_are_inconclusive_and_say_how_many_are_needed() -> None:
    found = verdict(rows=60, base=0.5, tuned=0.5)
    assert found.verdict == "INCONCLUSIVE"
    text = gate(found, "beats_base").text
    assert "60 rows like these show differences of" in text
    assert "needs about" in text
    assert found.minimum_detectable_difference > 0.1


def test_a_dozen_rows_never_ship_however_good() -> None:
    found = verdict(rows=12, base=0.1, tuned=1.0)
    assert gate(found, "enough_test_rows").passed is None
    assert found.verdict != "SHIP"


def test_rows_of_few_groups_count_as_few() -> None:
    assert gate(verdict(groups=np.arange(400) // 20), "enough_test_rows").passed is None


def test_a_better_cheap_baseline_stops_the_release() -> None:
    found = verdict(cheap=0.95)
    assert gate(found, "beats_base").passed is True
    assert gate(found, "beats_cheap_baselines").passed is False
    assert "against tfidf_logistic" in gate(found, "beats_cheap_baselines").text
    assert found.verdict == "DON'T SHIP"


def test_an_equal_cheap_baseline_is_inconclusive() -> None:
    assert verdict(cheap=0.8).verdict == "INCONCLUSIVE"


def test_an_adapter_that_changes_nothing_does_not_ship() -> None:
    found = verdict(nats=0.0)
    assert gate(found, "adapter_changes_output").passed is False
    assert "lost or not applied" in gate(found, "adapter_changes_output").text


def test_a_broken_token_contract_does_not_ship() -> None:
    assert verdict(contract=Gate("token_contract", False, 1, 0, "Row 3 differs.")).verdict == "DON'T SHIP"


def test_a_class_that_is_never_answered_does_not_ship() -> None:
    truth = np.tile([0, 1, 2], 100)
    base = system("base_zero_shot", "base", truth, np.zeros(300, dtype=np.int64))
    tuned = system("lora", "candidate", truth, np.minimum(truth, 1), 1.0)
    found = judge(ACCURACY, [base, tuned], "lora", np.arange(300), ShipIf.model_validate({}), 1, KEPT)
    assert gate(found, "no_class_never_predicted").passed is False
    assert "'positive'" in gate(found, "no_class_never_predicted").text


def test_a_base_that_scores_zero_has_no_relative_gain() -> None:
    truth = np.tile([0, 1, 2], 100)
    base = system("base_zero_shot", "base", truth, (truth + 1) % 3)
    tuned = system("lora", "candidate", truth, truth, 1.0)
    found = judge(ACCURACY, [base, tuned], "lora", np.arange(300), ShipIf.model_validate({}), 1, KEPT)
    assert found.relative_gain is None
    assert found.verdict == "SHIP"
    json.dumps(dataclasses.asdict(found), allow_nan=False)


def test_each_opening_of_the_test_costs_width() -> None:
    first, fifth = verdict(openings=1), verdict(openings=5)
    assert fifth.ci_low < first.ci_low
    assert fifth.ci_high > first.ci_high
    assert fifth.minimum_detectable_difference > first.minimum_detectable_difference


def test_the_verdict_is_deterministic() -> None:
    assert verdict(cheap=0.7) == verdict(cheap=0.7)


def test_falling_perplexity_without_a_better_score_is_called_out() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 300)
    base = system("base_zero_shot", "base", truth, answer(rng, truth, 0.6))
    worse, better = (system(name, "candidate", truth, answer(rng, truth, right)) for name, right in (("full", 0.4), ("lora", 0.9)))
    systems = [with_perplexity(one, value) for one, value in ((base, 19.0), (worse, 2.2), (better, 1.2))]
    pairs = [compare(MACRO, systems[0], one, np.arange(300), 0.95) for one in systems[1:]]
    found = [note for note in notes(systems, [MACRO], pairs, "macro_f1") if "perplexity" in note]
    assert len(found) == 1
    assert "full has 2.2 where base_zero_shot has 19" in found[0]


# Simulated projects: four candidates, the winner chosen on 200 validation rows, judged once on the sealed test.
PROJECTS = 300


def project(rng: np.random.Generator, metric: Any, groups: int, size: int, base: float, tuned: float) -> Verdict:
    sizes = rng.poisson(size - 1, groups) + 1 if size > 1 else np.ones(groups, dtype=np.int64)
    of = np.repeat(np.arange(groups), sizes)
    truth, validation = (rng.choice(3, n, p=[0.5, 0.3, 0.2]) for n in (len(of), 200))
    scores = [np.mean(answer(rng, validation, tuned) == validation) for _ in range(4)]

    def answers(right: float) -> Ints:  # in a group, a system is luckier or less so with all rows
        luck = rng.normal(0, 0.12, groups)[of] if size > 1 else 0.0
        return np.where(rng.random(len(of)) < right + luck, truth, (truth + rng.integers(1, 3, len(of))) % 3)

    candidates = [system(f"c{i}", "candidate", truth, answers(tuned), 1.0) for i in range(4)]
    systems = [system("base_zero_shot", "base", truth, answers(base)), *candidates]
    return judge(metric, systems, f"c{np.argmax(scores)}", of, ShipIf(relative_gain=0.0, confidence=0.95), 1, KEPT)


@pytest.mark.slow
@pytest.mark.parametrize("metric", [ACCURACY, MACRO], ids=["accuracy", "macro_f1"])
@pytest.mark.parametrize(("groups", "size"), [(40, 1), (300, 1), (45, 12)])
def test_a_candidate_no_better_than_the_base_ships_at_most_5_percent_of_the_time(metric: Any, groups: int, size: int) -> None:
    """No gain asked for, which is the easiest case to fool. 300 projects: a true 5% shows as 8% or less in 99 of 100."""
    rng = np.random.default_rng(5)
    found = Counter(project(rng, metric, groups, size, 0.6, 0.6).verdict for _ in range(PROJECTS))
    assert found["SHIP"] / PROJECTS <= 0.05


@pytest.mark.slow
def test_a_gain_of_the_detectable_size_is_found_with_the_stated_power() -> None:
    """Rows in groups, macro-F1, permutation test: 80% within Monte-Carlo error (300 projects: 2.3 points) and the
    slack of estimating the detectable difference from a pilot."""
    rng = np.random.default_rng(9)
    pilot = np.mean([project(rng, MACRO, 60, 6, 0.6, 0.68).minimum_detectable_difference for _ in range(20)])
    found = [project(rng, MACRO, 60, 6, 0.6, 0.6 + float(pilot)) for _ in range(PROJECTS)]
    gained = np.mean([one.difference for one in found])
    assert gained == pytest.approx(pilot, rel=0.1)
    assert 0.72 <= np.mean([one.p_value <= 0.05 for one in found]) <= 0.88
