"""The tune stage on a small run directory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.tune.small_run import small_run
from tunewright import lifecycle, tune
from tunewright.core.errors import DataError, RecipeError
from tunewright.core.files import read_json, read_parquet, write_json, write_parquet
from tunewright.models.contract import check
from tunewright.models.load import load_base
from tunewright.tune.verify import verify_resume


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Any:
    context = small_run(tmp_path_factory.mktemp("stage"), techniques=["lora", {"name": "lora", "alias": "lora_low", "learning_rate": 1e-5}])
    context.run.path("prepare", "test.parquet").unlink()  # tune must not even look for it
    return context, tune.run(context)


def test_the_leaderboard_ranks_candidates_by_the_metric_and_holds_what_others_read(finished: Any) -> None:
    context, result = finished
    board = read_json(context.run.path("tune", "leaderboard.json"))
    scores = [one["validation"]["macro_f1"] for one in board["candidates"]]
    assert scores == sorted(scores, reverse=True)
    assert board["winner"] == board["candidates"][0]["name"] == result.winner
    wanted = {"name", "technique", "settings", "validation", "best_step", "steps", "epochs", "rows_seen", "train_seconds"}
    wanted |= {"evaluation_seconds", "trainable_parameters", "total_parameters", "peak_memory_bytes", "stopped_because", "alarms"}
    for one in board["candidates"]:
        assert wanted <= one.keys()
        assert one == read_json(context.run.path("tune", one["name"], "candidate.json"))
        assert (context.run.path("tune", one["name"], "adapter", "adapter_model.safetensors")).is_file()
    assert {one["name"] for one in board["candidates"]} == {"lora", "lora_low"}


def test_every_training_row_is_kept_with_the_times_it_was_learnt_from(finished: Any) -> None:
    context, result = finished
    lines = context.ledger.lines()
    train = read_parquet(context.run.path("prepare", "train.parquet"))
    assert lines["action"].to_list() == ["kept"] * 40
    assert lines["row_id"].to_list() == train["row_id"].to_list()
    assert result.unreached == {"lora": 16, "lora_low": 16}
    assert lines["detail"].str.contains("lora 0, lora_low 0").sum() == 16
    assert "never reached: lora 16, lora_low 16" in " ".join(result.summary())


def test_the_token_contract_of_each_candidate_holds(finished: Any) -> None:
    context, _ = finished
    contract = read_json(context.run.path("tune", "lora", "tokens.json"))
    assert check(contract, load_base(context.recipe.model).tokenizer) is None
    row = contract["rows"][0]
    assert row["answer"] == f"{row['label']}<|im_end|>"


def test_a_finished_candidate_is_not_trained_again_but_one_whose_marker_is_missing_is(finished: Any) -> None:
    context, _ = finished
    first = read_json(context.run.path("tune", "leaderboard.json"))
    marker = context.run.path("tune", "lora_low", "candidate.json")
    marker.unlink()
    history = context.run.path("tune", "lora", "history.jsonl")
    before = history.stat().st_mtime_ns
    tune.run(context)
    assert history.stat().st_mtime_ns == before
    assert marker.exists()
    again = read_json(context.run.path("tune", "leaderboard.json"))
    assert [one["validation"] for one in again["candidates"]] == [one["validation"] for one in first["candidates"]]


def test_one_more_technique_does_not_train_the_others_again(tmp_path: Path) -> None:
    context = small_run(tmp_path, techniques=["lora"])
    write_json(context.run.path("prepare", "done.json"), {"inputs": "the same rows"})
    stage = next(one for one in lifecycle.STAGES if one.name == "tune")
    lifecycle.run_stage(stage, context)
    weights = context.run.path("tune", "lora", "adapter", "adapter_model.safetensors")
    first, told = weights.stat(), read_json(context.run.path("tune", "lora", "candidate.json"))

    def again(start: bool = False, **changed: Any) -> dict[str, Any]:
        recipe = context.recipe.model_copy(update={"tune": context.recipe.tune.model_copy(update=changed)})
        lifecycle.run_stage(stage, replace(context, recipe=recipe), again=start)
        return {one["name"]: one for one in read_json(context.run.path("tune", "leaderboard.json"))["candidates"]}

    two = again(techniques=["lora", "prompt_tuning"])
    assert two.keys() == {"lora", "prompt_tuning"}
    assert two["lora"] == told
    assert weights.stat().st_ino == first.st_ino, "linked, not trained"
    assert len(list(context.run.path("superseded").glob("tune-*/lora/candidate.json"))) == 1, "what was superseded stays whole"
    again(techniques=["lora", "prompt_tuning"], seed=18)
    assert weights.stat().st_ino != first.st_ino, "another seed is another candidate"
    last = weights.stat().st_ino
    again(True, techniques=["lora", "prompt_tuning"], seed=18)
    assert weights.stat().st_ino != last, "who asks for the stage again gets it again"


def test_truncated_rows_are_counted_and_in_the_ledger(tmp_path: Path) -> None:
    context = small_run(tmp_path, model={"max_length": 128}, techniques=["prompt_tuning"], max_steps=1)
    path = context.run.path("prepare", "train.parquet")
    long = pl.when(pl.col("row_id") == "train3").then(pl.lit("very good indeed " * 60)).otherwise("text").alias("text")
    write_parquet(path, read_parquet(path).with_columns(long))
    result = tune.run(context)
    cut = context.ledger.lines().filter(pl.col("action") == "truncated")
    assert (cut["row_id"].to_list(), cut["reason"].to_list()) == (["train3"], ["longer_than_max_length"])
    assert "1 of 40 training rows were cut" in " ".join(result.summary())


def test_candidates_side_by_side_give_the_same_weights_as_one_after_the_other(tmp_path: Path) -> None:
    found = []
    for workers in (1, 2):
        context = small_run(tmp_path / str(workers), techniques=["lora", "bottleneck"], workers=workers)
        tune.run(context)
        found.append(
            [context.run.path("tune", name, "adapter", "adapter_model.safetensors").read_bytes() for name in ("lora", "bottleneck")]
        )
    assert found[0] == found[1]


@pytest.mark.slow
@pytest.mark.parametrize("technique", [{"name": "lora", "lora_dropout": 0.3}, "full"])
def test_a_run_killed_by_the_system_goes_on_to_the_same_bits(tmp_path: Path, technique: Any) -> None:
    context = small_run(tmp_path, techniques=[technique])
    assert "killed after step 3 of 4, resumed at step 2: 2 files" in verify_resume(context.run)


def test_two_candidates_of_one_name_need_an_alias(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="'lora' appears more than once. Give each its own 'alias'"):
        tune.run(small_run(tmp_path, techniques=["lora", {"name": "lora", "r": 2}]))


def test_a_split_without_rows_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    context = small_run(tmp_path)
    path = context.run.path("prepare", "validation.parquet")
    write_parquet(path, read_parquet(path).head(0))
    with pytest.raises(DataError, match=r"validation.parquet has no rows.*raise prepare.split.validation"):
        tune.run(context)


def test_importing_the_stage_imports_no_torch() -> None:
    import subprocess
    import sys

    code = "import sys, tunewright.tune, tunewright.core.plugins as p; [p.load('techniques', n) for n in p.names('techniques')]; "
    code += "p.load('objectives', 'sft'); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
