"""The whole lifecycle for real on a tiny random model: finished, interrupted, killed, out of disk, with a changed recipe."""

import csv
import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
import yaml

from tunewright.cli import main
from tunewright.core.files import read_json, read_jsonl
from tunewright.core.run import Run
from tunewright.lifecycle import NAMES
from tunewright.testing.tiny import tiny_model

REVIEWS = Path(__file__).parents[1] / "examples/reviews/reviews.csv"
VERDICTS = {"SHIP": 0, "DON'T SHIP": 1, "INCONCLUSIVE": 3}


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe over 260 real rows, two unreadable records and a tiny model."""
    folder = tmp_path_factory.mktemp("life")
    tiny_model(folder / "tiny")
    rows = list(csv.reader(REVIEWS.open(encoding="utf-8")))
    with open(folder / "rows.csv", "w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows(rows[:261])
        stream.write("ragged,line\r\n")
    with open(folder / "rows.csv", "ab") as raw:
        raw.write(b"x_1,x,broken \xff bytes,positive,1\r\n")
    values = {
        "data": {"path": "rows.csv", "groups": ["review"]},
        "model": {"base": str(folder / "tiny"), "max_length": 160},
        "tune": {
            "techniques": ["lora", "prompt_tuning"],
            "max_steps": 4,
            "per_device_train_batch_size": 8,
            "evaluations": 2,
            "validation_rows": 20,
            "workers": 1,
        },
        "evaluate": {"baselines": ["majority", "tfidf_logistic", "base_zero_shot"]},
        "explain": {"rows": 2},
        "release": {"probe_rows": 3},
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(values))
    return folder / "recipe.yaml"


@pytest.fixture(scope="module")
def finished(recipe: Path) -> tuple[Run, int]:
    directory = recipe.parent / "finished"
    return Run(directory), main(["run", str(recipe), "--run", str(directory)])


def test_a_run_ends_in_a_verdict_and_every_file_of_the_contract(finished: tuple[Run, int]):
    run, code = finished
    assert code == VERDICTS[run.verdict["verdict"]]
    assert all(run.done(stage) for stage in NAMES)
    winner = read_json(run.path("tune", "leaderboard.json"))["winner"]
    for name in (
        "recipe.yaml", "resolved.json", "ledger.parquet", "events.jsonl", "report.html",
        "audit/findings.parquet", "audit/summary.json", "audit/quarantine.parquet",
        "prepare/train.parquet", "prepare/validation.parquet", "prepare/test.parquet", "prepare/dropped.parquet", "prepare/seal.json",
        f"tune/{winner}/history.jsonl", f"tune/{winner}/candidate.json", f"tune/{winner}/tokens.json",
        "evaluate/scores.parquet", "evaluate/results.json", "evaluate/verdict.json",
        "explain/occlusion.json", "release/manifest.json", "release/README.md", "release/tokens.json",
    ):  # fmt: skip
        assert run.path(name).exists(), name
    assert list(pl.read_parquet(run.path("evaluate", "scores.parquet")).columns) == ["row_id", "system", "metric", "score", "answer"]
    assert {
        "verdict", "metric", "baseline", "candidate", "difference", "relative_gain", "ci_low", "ci_high", "p_value",
        "n", "minimum_detectable_difference", "test_openings", "gates",
    } <= set(run.verdict)  # fmt: skip


def test_every_record_of_the_file_is_accounted_for(finished: tuple[Run, int]):
    run, _ = finished
    ledger = pl.read_parquet(run.path("ledger.parquet"))
    read = ledger.filter((pl.col("stage") == "audit") & (pl.col("action") == "read"))
    assert len(read) == 262
    quarantined = ledger.filter(pl.col("action") == "quarantined")
    assert dict(quarantined.select("line", "reason").iter_rows()) == {262: "ragged_line", 263: "broken_encoding"}
    ended = ledger.filter((pl.col("stage") == "prepare") & pl.col("action").is_in(["kept", "dropped", "quarantined"]))
    splits = [len(pl.read_parquet(run.path("prepare", f"{name}.parquet"))) for name in ("train", "validation", "test")]
    assert len(ended) == 260
    assert sum(splits) == len(ended.filter(pl.col("action") == "kept"))


def test_verify_agrees_and_sees_a_test_row_that_was_swapped(finished: tuple[Run, int], capsys: pytest.CaptureFixture[str]):
    run, _ = finished
    assert main(["verify", str(run.directory), "--json"]) == 0
    assert {one["name"] for one in json.loads(capsys.readouterr().out)["results"]} == {"ledger", "tokens", "parity", "seal"}
    path = run.path("prepare", "test.parquet")
    kept = path.read_bytes()
    pl.read_parquet(path).reverse().write_parquet(path)
    try:
        assert main(["verify", str(run.directory), "seal"]) == 1
    finally:
        path.write_bytes(kept)
    assert "not the test split that was sealed" in capsys.readouterr().out


def test_a_second_run_skips_everything_and_a_changed_recipe_runs_only_what_depends_on_it(
    finished: tuple[Run, int], recipe: Path, capsys: pytest.CaptureFixture[str]
):
    run, code = finished
    before = {stage: run.done(stage) for stage in NAMES}
    assert main(["run", str(recipe), "--run", str(run.directory)]) == code
    assert capsys.readouterr().err.count("skipped") == len(NAMES)
    main(["run", str(recipe), "--run", str(run.directory), "--set", "evaluate.ship_if.relative_gain=0.2"])
    after = {stage: run.done(stage) for stage in NAMES}
    assert [stage for stage in NAMES if before[stage] == after[stage]] == ["audit", "prepare", "tune"]
    assert {one.name.split("-")[0] for one in run.path("superseded").iterdir()} == {"evaluate", "explain", "release"}
    assert run.verdict["test_openings"] == 1, "the same systems on the same rows are one look, whatever the threshold"


def start(recipe: Path, directory: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "tunewright.cli", "run", str(recipe), "--run", str(directory)],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=os.environ | {"OMP_NUM_THREADS": "1"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # ignored where the tests run in the background
    )  # fmt: skip


def wait_for(process: subprocess.Popen[bytes], directory: Path, stage: str) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, process.stderr.read().decode() if process.stderr else ""
        path = directory / "events.jsonl"
        if path.exists() and any(one.get("stage") == stage for one in read_jsonl(path)):
            return
        time.sleep(0.02)
    raise AssertionError(f"{stage} never started")


@pytest.mark.slow
def test_a_kill_in_every_stage_loses_nothing(recipe: Path, finished: tuple[Run, int]):
    directory = recipe.parent / "killed"
    for index, stage in enumerate(NAMES):
        process = start(recipe, directory)
        wait_for(process, directory, stage)
        time.sleep(0.3 + 0.4 * index)
        process.send_signal(signal.SIGKILL)
        process.wait()
    whole, code = finished
    assert main(["run", str(recipe), "--run", str(directory)]) == code
    run = Run(directory)
    assert main(["verify", str(directory)]) == 0
    ledgers = [pl.read_parquet(one.path("ledger.parquet")).sort("stage", "row_id", "action", "reason") for one in (run, whole)]
    assert ledgers[0].equals(ledgers[1])
    scores = [pl.read_parquet(one.path("evaluate", "scores.parquet")).sort("system", "row_id", "metric") for one in (run, whole)]
    assert scores[0].select("row_id", "system", "metric", "answer").equals(scores[1].select("row_id", "system", "metric", "answer"))
    assert run.verdict["test_openings"] == 1
    assert not list(directory.rglob("*.tmp"))


@pytest.mark.slow
def test_an_interrupt_says_how_to_go_on_and_shows_no_traceback(recipe: Path):
    directory = recipe.parent / "interrupted"
    process = start(recipe, directory)
    wait_for(process, directory, "audit")
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"run the same command again" in error
    assert b"Traceback" not in error


@pytest.mark.parametrize("nth", [1, 4, 9, 14, 22])
def test_a_disk_that_fills_up_is_told_and_the_run_goes_on_afterwards(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], nth: int
):
    count, sync = 0, os.fsync

    def full(descriptor: int) -> None:
        nonlocal count
        count += 1
        if count == nth:
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(descriptor)

    arguments = ["run", str(recipe), "--run", str(tmp_path / "run"), "--until", "prepare"]
    monkeypatch.setattr(os, "fsync", full)
    code = main(arguments)
    told = capsys.readouterr().err
    assert (code == 2 and "no space left" in told) or (code == 0 and count < nth)
    monkeypatch.undo()
    assert main(arguments) == 0
    assert main(["verify", str(tmp_path / "run"), "ledger"]) == 0


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["good one,a", "good two,a", "good three,a"] * 5, "needs at least two classes"),
        (["good one,a", "bad thing,b", "fine day,a"], "row"),
        ([], "holds no rows"),
    ],
)
def test_rows_that_cannot_make_a_project_end_with_a_clear_error(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], rows: list[str], message: str
):
    (tmp_path / "rows.csv").write_text("\n".join(["text,label", *rows]) + "\n")
    values = yaml.safe_load(recipe.read_text()) | {"data": {"path": "rows.csv"}, "audit": {"fail_on": "never"}}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(values))
    assert main(["run", str(tmp_path / "recipe.yaml"), "--run", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert any(one in error for one in message.split("|")), error
    assert "Traceback" not in error


def test_findings_over_policy_stop_the_run_with_exit_code_1(recipe: Path, tmp_path: Path):
    assert main(["run", str(recipe), "--run", str(tmp_path / "run"), "--set", "audit.fail_on=warning"]) == 1
    assert not (tmp_path / "run" / "prepare").exists()


def test_what_a_kill_left_half_done_is_cleared_and_a_directory_caught_in_replacement_comes_back(recipe: Path, tmp_path: Path):
    run = tmp_path / "run"
    (run / "tune" / ".checkpoint-2.99.old").mkdir(parents=True)
    (run / "tune" / ".checkpoint-4.99.tmp").mkdir()
    (run / ".ledger.parquet.99.tmp").touch()
    assert main(["run", str(recipe), "--run", str(run), "--until", "audit"]) == 0
    assert (run / "tune" / "checkpoint-2").is_dir()
    assert not list(run.rglob("*.tmp"))


@pytest.mark.slow
def test_the_whole_lifecycle_with_the_real_135m_model_on_few_rows(recipe: Path, tmp_path: Path):
    values = yaml.safe_load(recipe.read_text()) | {
        "data": {"path": str(recipe.parent / "rows.csv"), "groups": ["review"]},
        "model": {"base": "smollm2-135m"},
        "tune": {"techniques": ["lora"], "max_steps": 2, "evaluations": 1, "validation_rows": 8},
        "evaluate": {"baselines": ["majority"]},
        "explain": {"rows": 1},
        "release": {"probe_rows": 2},
    }
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(values))
    run = Run(tmp_path / "run")
    code = main(["run", str(tmp_path / "recipe.yaml"), "--run", str(run.directory)])
    assert code == VERDICTS[run.verdict["verdict"]]
    assert read_json(run.path("release", "parity.json"))["same_answers"] == 2
    assert main(["verify", str(run.directory), "ledger"]) == 0
    assert "default-src 'none'" in run.path("report.html").read_text()


def test_the_test_stays_the_test_when_the_steps_change(recipe: Path, tmp_path: Path):
    def test_rows(*settings: str) -> set[str]:
        main(["run", str(recipe), "--run", str(tmp_path), "--until", "prepare", *(word for one in settings for word in ("--set", one))])
        return set(pl.read_parquet(tmp_path / "prepare/test.parquet")["row_id"])

    few = "prepare.steps=[drop_empty,{name: filter_rows, keep: [{field: text, min_words: 6}]}]"
    first = test_rows()
    fewer = test_rows(few)
    left = set(pl.read_parquet(tmp_path / "prepare/dropped.parquet")["row_id"])
    assert left & first
    assert first - left <= fewer
    assert test_rows(few, "prepare.split.keep=false") != fewer


def test_a_run_of_the_data_stages_alone_is_verified_for_what_it_has(recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    main(["run", str(recipe), "--run", str(tmp_path), "--until", "prepare"])
    capsys.readouterr()
    assert main(["verify", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line[:4].strip() for line in lines] == ["ok", "ok", "-", "-"]
    assert lines[2].endswith("nothing to check: release has not finished")
    assert main(["verify", str(tmp_path), "tokens"]) == 1
