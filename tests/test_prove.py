"""prove-data: arms that share no row with the test, equal budgets, words that fit the interval, work that is not done twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tunewright.core.errors import RecipeError
from tunewright.core.files import read_json, read_jsonl, read_parquet
from tunewright.core.progress import Report
from tunewright.core.recipe import Recipe
from tunewright.evaluate.seeded import difference
from tunewright.prove import Budget, prove, sentence
from tunewright.testing.tiny import tiny_model

GOOD = ("love", "great", "bright", "best", "happy", "solid", "fast", "clear")
BAD = ("broke", "worst", "dead", "returned", "awful", "slow", "dim", "angry")
THINGS = ("phone", "screen", "battery", "camera", "charger", "cable", "case", "speaker", "button", "menu")
QUIET = Report(quiet=True)


def write_rows(path: Path, wrong: int = 0, variants: int = 1) -> None:
    """160 rows of two classes; `wrong` copies of good rows say bad, in capitals or with a blank behind. More `variants` of each
    word make the task harder."""
    rng = np.random.default_rng(0)

    def row(words: tuple[str, ...], number: int) -> str:
        told = [f"{word}{'abcdefghijkl'[rng.integers(variants)]}" for word in rng.choice(words, 3)]
        return " ".join([*told, *rng.choice(THINGS, 3), f"number{number}", f"box{rng.integers(999)}"])

    texts = [row((GOOD, BAD)[number % 2], number) for number in range(160)]
    labels = [("good", "bad")[number % 2] for number in range(160)]
    texts += [texts[2 * (number % 30)] for number in range(wrong)]
    labels += [("bad", "BAD", "bad ")[number % 3] for number in range(wrong)]
    pl.DataFrame({"text": texts, "label": labels}).write_csv(path)


def recipe_of(place: Path, **more: Any) -> Recipe:
    values = {"data": {"path": str(place / "rows.csv")}, "audit": {"checks": []}, "evaluate": {"metric": "accuracy"}}
    return Recipe.check(values | {"prepare": {"split": {"train": 0.5, "validation": 0.4, "test": 0.1}}} | more)


@pytest.fixture(scope="module")
def proved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A run whose proof is done: 160 good rows, 600 planted copies with wrong and misspelt labels."""
    place = tmp_path_factory.mktemp("proved")
    write_rows(place / "rows.csv", wrong=600)
    return place / "run", prove(recipe_of(place), place / "run", budget=Budget("tfidf_logistic"), report=QUIET).document


def test_preparing_rows_with_planted_faults_is_shown_to_help(proved: tuple[Path, dict[str, Any]]) -> None:
    by_arm = {one["first"]: one for one in proved[1]["comparisons"]}
    assert by_arm["random"]["low"] > 0
    assert by_arm["random"]["text"].startswith("preparing, against as many random raw rows, helped by +")
    assert {one["name"] for one in proved[1]["arms"]} == {"raw", "prepared", "random"}


def test_no_arm_holds_a_row_of_the_test_or_a_copy_of_one(proved: tuple[Path, dict[str, Any]]) -> None:
    test = set(read_parquet(proved[0] / "proof" / "test.parquet")["text"])
    held_out = set(read_parquet(proved[0] / "prepare" / "test.parquet")["row_id"])
    for path in (proved[0] / "proof" / "rows").glob("*.parquet"):
        rows = read_parquet(path)
        assert not test & set(rows["text"]), path
        assert not held_out & set(rows["row_id"]), path


def test_the_random_arm_is_as_large_as_the_prepared_one_and_differs_by_seed(proved: tuple[Path, dict[str, Any]]) -> None:
    prepared, *drawn = (read_parquet(proved[0] / "proof" / "rows" / f"{name}.parquet") for name in ("prepared", "random-17", "random-18"))
    assert [len(one) for one in drawn] == [len(prepared)] * 2
    assert set(drawn[0]["row_id"]) != set(drawn[1]["row_id"])


def test_the_sealed_test_stays_sealed(proved: tuple[Path, dict[str, Any]]) -> None:
    assert read_json(proved[0] / "prepare" / "seal.json")["openings"] == []


def test_rows_that_need_nothing_give_an_honest_no_difference(tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.csv")
    proof = prove(recipe_of(tmp_path), tmp_path / "run", budget=Budget("tfidf_logistic", seeds=2), report=QUIET).document
    assert all("no difference that was shown" in one["text"] and "could have seen" in one["text"] for one in proof["comparisons"])
    assert "preparing removed no training rows, so the random arm is the raw arm" in proof["notes"]


def test_an_arm_that_the_recipe_does_not_have_is_refused(tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.csv")
    with pytest.raises(RecipeError, match="'without_curate' is no arm of this recipe"):
        prove(recipe_of(tmp_path), tmp_path / "run", budget=Budget("tfidf_logistic"), arms=["without_curate"], report=QUIET)


@pytest.mark.slow
def test_techniques_get_equal_steps_and_a_finished_training_is_not_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNEWRIGHT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("tunewright.tune.trial.cores", lambda: 1)
    write_rows(tmp_path / "rows.csv", wrong=60)
    recipe = recipe_of(tmp_path, model={"base": str(tiny_model(tmp_path / "model", layers=4)), "max_length": 160})
    budget = Budget("lora", steps=3, seeds=1, test_rows=12)
    proof = prove(recipe, tmp_path / "run", budget=budget, report=QUIET).document
    answers = {path.stem: read_parquet(path) for path in (tmp_path / "run" / "proof").glob("*-17.parquet")}
    assert {name: one["steps"][0] for name, one in answers.items()} == {"raw-17": 3, "prepared-17": 3, "random-17": 3}
    (tmp_path / "run" / "proof" / "raw-17.parquet").unlink()  # as if killed before it
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "run" / "proof").glob("*-17.parquet")}
    again = prove(recipe, tmp_path / "run", budget=budget, report=QUIET).document
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert again["arms"] == proof["arms"]
    work = [one for one in read_jsonl(tmp_path / "run" / "events.jsonl") if one["event"] == "work_done"]
    assert [one["work"] for one in work] == ["prove-data", "prove-data"]


def share(sums: Any) -> Any:
    return np.asarray(sums[..., 0] / sums[..., 1])


def answers(right: Any) -> Any:
    """Evidence (seeds, rows, 2) of answers that are right (seeds, rows)."""
    return np.stack([right, np.ones_like(right)], axis=-1).astype(float)


def test_intervals_hold_the_truth_as_often_as_they_say_with_three_seeds() -> None:
    rng, groups, held = np.random.default_rng(5), np.repeat(np.arange(40), 5), 0
    for _ in range(150):
        ease = rng.normal(0, 0.5, 40)[groups]
        both = [[ease + rng.normal(0, 0.1) + rng.normal(0, 0.5, 200) > 0 for _ in range(3)] for _ in range(2)]
        found = difference(share, answers(np.array(both[0])), answers(np.array(both[1])), groups)
        held += found.low <= 0 <= found.high
    assert held >= 0.9 * 150


def test_seeds_that_disagree_widen_the_interval() -> None:
    rng, groups = np.random.default_rng(1), np.arange(400)
    base = rng.random((3, 400)) < 0.6
    steady = base | (rng.random((3, 400)) < 0.1)
    moody = np.array([base[0] | (rng.random(400) < 0.3), base[1], base[2]])
    narrow, wide = (difference(share, answers(base), answers(one), groups) for one in (steady, moody))
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)
    assert narrow.low > 0


def test_equal_answers_leave_room_for_unseen_rows() -> None:
    right = np.ones((2, 50), dtype=bool)
    found = difference(share, answers(right), answers(right), np.arange(50))
    assert found.low < 0 < found.high
    assert found.detectable > 0.05


@pytest.mark.parametrize(("low", "high", "p", "said"), [(0.01, 0.05, 0.01, "helped by"), (-0.05, -0.01, 0.01, "hurt by"), (0.01, 0.05, 0.06, "no difference"), (-0.01, 0.05, 0.3, "no difference")])  # fmt: skip
def test_words_follow_the_corrected_test(low: float, high: float, p: float, said: str) -> None:
    found = difference(share, answers(np.ones((1, 9))), answers(np.ones((1, 9))), np.arange(9))
    gap = type(found)(**{**found.__dict__, "estimate": (low + high) / 2, "low": low, "high": high})
    assert said in sentence("raw", gap, p, 2)


def test_a_recipe_that_curates_is_compared_with_itself_without_and_with_chance(tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.csv", variants=12)
    split = {"train": 0.5, "validation": 0.4, "test": 0.1}
    recipe = recipe_of(tmp_path, prepare={"steps": [{"name": "curate", "keep": 0.5}], "split": split})
    proof = prove(recipe, tmp_path / "run", budget=Budget("tfidf_logistic", seeds=2), report=QUIET).document
    rows = {one["name"]: one["rows"] for one in proof["arms"]}
    assert rows["random_curate"] == rows["random"] == rows["prepared"] == rows["without_curate"] // 2
    folder = tmp_path / "run" / "proof" / "rows"
    pool, drawn = (set(read_parquet(folder / f"{name}.parquet")["row_id"]) for name in ("without_curate", "random_curate-17"))
    assert drawn < pool
    assert not (tmp_path / "run" / "proof" / "without_curate").exists()
    assert (tmp_path / "run" / "audit" / "rows.parquet").exists()  # what it shared is still there
