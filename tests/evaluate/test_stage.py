"""The stage on a tiny model: what it writes, what it refuses, and that a kill costs at most one system."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tests.evaluate.small_run import change_recipe, context_of, rows
from tunewright import evaluate
from tunewright.core.errors import DataError, RunError
from tunewright.core.files import read_json, read_parquet, write_json
from tunewright.core.run import Run
from tunewright.core.seal import seal_test
from tunewright.evaluate import systems

NAMES = {"majority", "tfidf_logistic", "base_zero_shot", "base_few_shot", "lora", "prompt_tuning"}


@pytest.fixture
def run(tuned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(systems, "cores", lambda: 1)  # in this process: quicker
    return Path(shutil.copytree(tuned, tmp_path / "run"))


@pytest.fixture(scope="session")
def judged(tuned: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted evaluation."""
    directory = Path(shutil.copytree(tuned, tmp_path_factory.mktemp("judged") / "run"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(systems, "cores", lambda: 1)
        evaluate.run(context_of(directory))
    return directory


def scores(directory: Path) -> pl.DataFrame:
    return read_parquet(directory / "evaluate" / "scores.parquet").sort("system", "metric", "row_id")


def finished(directory: Path) -> dict[str, int]:
    return {path.stem: path.stat().st_mtime_ns for path in (directory / "evaluate" / "systems").glob("[!.]*.parquet")}


def test_every_system_has_a_score_for_every_test_row(judged: Path) -> None:
    found = scores(judged)
    assert found.columns == ["row_id", "system", "metric", "score", "answer"]
    assert set(found["system"]) == NAMES | {"base_zero_shot_uncalibrated", "base_few_shot_uncalibrated"}
    right = found.filter(pl.col("metric") == "accuracy")
    assert right.group_by("system").len()["len"].unique().to_list() == [40]
    joined = right.join(rows("test", 4), on="row_id")
    assert (joined["score"] == (joined["answer"] == joined["label"]).cast(pl.Float64)).all()
    likely = found.filter(pl.col("metric") == "answer_nll")
    assert set(likely["system"]) == set(found["system"]) - {"majority", "tfidf_logistic"}


def test_results_hold_each_system_with_intervals_tables_and_costs(judged: Path) -> None:
    results = read_json(judged / "evaluate" / "results.json")
    kinds = {one["name"]: one["kind"] for one in results["systems"]}
    assert kinds["base_zero_shot"] == "base"
    assert kinds["base_zero_shot_uncalibrated"] == "baseline"
    assert kinds["lora"] == "candidate"
    assert [one["scores"]["macro_f1"] for one in results["systems"]] == sorted(
        (one["scores"]["macro_f1"] for one in results["systems"]), reverse=True
    )
    for one in results["systems"]:
        for name, (low, high) in one["intervals"].items():
            assert low < high or high is None, name
            assert low <= one["scores"][name] <= (high or np.inf)
        assert sum(map(sum, one["confusion"])) == 40
        assert {row["label"] for row in one["per_class"]} == {"bad", "good"}
        assert one["seconds"] >= 0
        assert one["milliseconds_per_row"] == pytest.approx(1000 * one["seconds"] / 40)
    pairs = {(one["first"], one["second"]) for one in results["comparisons"]}
    assert {("base_zero_shot", "lora"), ("base_zero_shot", "prompt_tuning")} <= pairs
    assert all(one["p_holm"] >= one["p_value"] for one in results["comparisons"])
    assert {(one["value"], one["rows"], one["judged"]) for one in results["slices"]} >= {("bad", 20, False)}
    assert results["story"][-1].startswith("Verdict: ")


def test_the_verdict_is_about_the_winner_of_validation(judged: Path) -> None:
    verdict = read_json(judged / "evaluate" / "verdict.json")
    assert verdict["candidate"] == read_json(judged / "tune" / "leaderboard.json")["winner"]
    assert verdict["baseline"] == "base_zero_shot"
    assert (verdict["n"], verdict["test_openings"]) == (40, 1)
    names = [gate["name"] for gate in verdict["gates"]]
    assert names == [
        "beats_base", "beats_cheap_baselines", "adapter_changes_output", "token_contract", "no_class_never_predicted", "enough_test_rows",
    ]  # fmt: skip


def test_the_ledger_keeps_every_test_row(judged: Path) -> None:
    lines = read_parquet(judged / "ledger.parquet").filter(stage="evaluate")
    assert sorted(lines.filter(action="kept")["row_id"]) == sorted(rows("test", 4)["row_id"])


def test_rows_cut_to_the_prompt_are_counted(run: Path) -> None:
    test = rows("test", 4).with_columns(text=pl.when(pl.col("line") == 2).then(pl.lit("word " * 300)).otherwise("text"))
    seal_test(Run(run), test)
    result = evaluate.run(change_recipe(run, baselines=["majority"]))
    assert any("1 of 40 test rows were cut" in gate.text for gate in result.verdict.gates)
    lines = read_parquet(run / "ledger.parquet").filter(stage="evaluate", action="truncated")
    assert lines["row_id"].to_list() == ["test0"]


def test_answers_do_not_depend_on_test_labels(judged: Path, run: Path) -> None:
    test = rows("test", 4)
    seal_test(Run(run), test.with_columns(label=test["label"].reverse()))
    evaluate.run(context_of(run))
    before, after = (scores(one).select("row_id", "system", "metric", "answer") for one in (judged, run))
    assert before.equals(after)


def test_the_untuned_model_takes_part_even_if_not_listed(run: Path) -> None:
    evaluate.run(change_recipe(run, baselines=["majority"]))
    assert finished(run).keys() == {"majority", "base_zero_shot", "lora", "prompt_tuning"}


def test_a_second_evaluation_is_the_same_look_and_computes_nothing(judged: Path, tmp_path: Path) -> None:
    directory = Path(shutil.copytree(judged, tmp_path / "run"))
    before, verdict = finished(directory), read_json(directory / "evaluate" / "verdict.json")
    evaluate.run(context_of(directory))
    assert finished(directory) == before
    assert read_json(directory / "evaluate" / "verdict.json") == verdict


def test_other_candidates_are_a_second_look_and_pay_for_it(judged: Path, tmp_path: Path) -> None:
    directory = Path(shutil.copytree(judged, tmp_path / "run"))
    board = read_json(directory / "tune" / "leaderboard.json")
    board["candidates"] = [one for one in board["candidates"] if one["name"] == board["winner"]]
    write_json(directory / "tune" / "leaderboard.json", board)
    before = finished(directory)
    evaluate.run(context_of(directory))
    assert read_json(directory / "evaluate" / "verdict.json")["test_openings"] == 2
    assert read_json(directory / "evaluate" / "results.json")["confidence"] == pytest.approx(0.975)
    assert finished(directory) == before


def test_a_changed_test_split_is_refused(run: Path) -> None:
    rows("test", 3).write_parquet(run / "prepare" / "test.parquet")
    with pytest.raises(RunError, match="not the test split that was sealed"):
        evaluate.run(context_of(run))


def test_an_empty_test_split_is_refused(run: Path) -> None:
    seal_test(Run(run), rows("test", 4).head(0))
    with pytest.raises(DataError, match="no rows to judge by"):
        evaluate.run(context_of(run))


def test_a_metric_from_elsewhere_is_computed(run: Path) -> None:
    result = evaluate.run(change_recipe(run, baselines=["majority"], metrics=["tests.evaluate.small_run.LongestLabel", "macro_f1"]))
    first = result.results["systems"][0]
    assert first["scores"]["tests.evaluate.small_run.LongestLabel"] == 4
    assert "perplexity" not in first["scores"]


def test_other_tokens_than_in_training_do_not_ship(run: Path) -> None:
    winner = read_json(run / "tune" / "leaderboard.json")["winner"]
    path = run / "tune" / winner / "tokens.json"
    stored = read_json(path)
    stored["rows"][1]["ids"][5] += 1
    write_json(path, stored)
    result = evaluate.run(change_recipe(run, baselines=["majority"]))
    gate = next(one for one in result.verdict.gates if one.name == "token_contract")
    assert gate.passed is False
    assert "probe row 1, position 5" in gate.text
    assert result.verdict.verdict == "DON'T SHIP"


def test_the_shared_lower_half_changes_no_answer(judged: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """LoRA leaves the lower half alone, so `judged` started above it; here nothing is shared."""
    from tunewright.tune.techniques.lora import Lora

    monkeypatch.setattr(Lora, "frozen_layers", lambda self, model: 0)
    evaluate.run(change_recipe(run, baselines=["majority"]))
    for name in ("base_zero_shot", "lora"):
        with_it, without = (read_parquet(one / "evaluate" / "systems" / f"{name}.parquet") for one in (judged, run))
        first, second = (np.array(one["answer_nll"].to_list()) for one in (with_it, without))
        assert np.allclose(first, second, atol=1e-4)
    assert not (judged / "evaluate" / "systems" / "lower").exists()


def test_the_untuned_model_keeps_its_lower_half_for_the_candidates(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tunewright.models.frozen import LowerStates

    computed, layers = [], []
    original, start = LowerStates._compute, LowerStates.__init__

    def compute(self: LowerStates, model: object, prefix: tuple[int, ...], some: list[object]) -> object:
        computed.append(len(some))
        return original(self, model, prefix, some)  # type: ignore[arg-type]

    def init(self: LowerStates, *given: object) -> None:
        layers.append(given[-1])
        start(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(LowerStates, "_compute", compute)
    monkeypatch.setattr(LowerStates, "__init__", init)
    evaluate.run(change_recipe(run, baselines=["majority"]))
    assert layers == [2, 2]  # the base and LoRA; prompt tuning shares nothing
    assert sum(computed) == 40  # each test row once


@pytest.mark.slow
def test_killed_in_the_middle_it_goes_on_with_the_next_system(judged: Path, tuned: Path, tmp_path: Path) -> None:
    directory = Path(shutil.copytree(tuned, tmp_path / "run"))
    code = "from pathlib import Path; from tests.evaluate.small_run import context_of; from tunewright import evaluate; "
    code += f"evaluate.run(context_of(Path({str(directory)!r})))"
    root = Path(__file__).parents[2]
    process = subprocess.Popen([sys.executable, "-c", code], start_new_session=True, cwd=root)
    while not finished(directory):
        assert process.poll() is None
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    time.sleep(1.5)  # its workers notice within half a second and end
    before = finished(directory)
    assert not (directory / "evaluate" / "verdict.json").exists()
    evaluate.run(context_of(directory))  # two workers side by side, where `judged` had one process
    after = finished(directory)
    assert {name: after[name] for name in before} == before
    assert after.keys() == NAMES
    assert scores(directory).equals(scores(judged))
    assert json.loads((directory / "evaluate" / "verdict.json").read_text())["test_openings"] == 1
