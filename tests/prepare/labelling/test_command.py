"""`tunewright label`: a data file in, a data file out that the lifecycle reads."""

import json
from pathlib import Path

import polars as pl
import pytest

from tunewright.cli import main
from tunewright.core.recipe import DataSettings
from tunewright.sources import read_rows

RULES = """
from tunewright.prepare.labelling import ABSTAIN, labelling_function

@labelling_function()
def praise(x):
    return "good" if "great" in x.text else ABSTAIN

@labelling_function()
def blame(x):
    return "bad" if "broke" in x.text else ABSTAIN

@labelling_function()
def mood(x):
    return "bad" if "sad" in x.text else "good" if "happy" in x.text else ABSTAIN
"""
ROWS = "text,label,weight,shop\ngreat and happy,good,2,a\nit broke and I am sad,bad,1,b\nnothing to say,,1,a\ngreat but sad,,1,b\nit broke,odd,1,a\n"


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str, str]:
    (tmp_path / "rows.csv").write_text(ROWS)
    (tmp_path / "rules.py").write_text(RULES)
    return str(tmp_path / "rows.csv"), str(tmp_path / "rules.py"), str(tmp_path / "out.parquet")


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict]:
    code = main(["label", *words, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_labels_come_with_probability_weight_and_shares(files: tuple[str, str, str], capsys: pytest.CaptureFixture[str]):
    data, rules, out = files
    code, document = run(capsys, data, rules, "-o", out)
    rows = pl.read_parquet(out)
    assert (code, document["labelled"], document["no_vote"]) == (0, 4, 1)
    assert rows["label"].to_list()[:2] == ["good", "bad"]
    assert rows["weight"].to_list() == rows["label_probability"].to_list()
    assert (rows["p_good"] + rows["p_bad"]).to_list() == pytest.approx([1.0] * 4)
    assert rows["shop"].to_list() == ["a", "b", "b", "a"]
    assert rows["labelled_from"][0] == "rows.csv:2"


def test_a_row_that_nothing_votes_on_is_left_out_with_its_reason(files: tuple[str, str, str], capsys: pytest.CaptureFixture[str]):
    data, rules, out = files
    run(capsys, data, rules, "-o", out)
    left = pl.read_parquet(out.replace(".parquet", ".no_vote.parquet"))
    assert left.select("line", "reason", "raw").rows() == [(4, "no_vote", "nothing to say")]


def test_known_labels_judge_every_model_and_are_kept(files: tuple[str, str, str], capsys: pytest.CaptureFixture[str]):
    data, rules, out = files
    _, document = run(capsys, data, rules, "-o", out)
    assert [one["model"] for one in document["models"]] == ["majority", "dawid_skene"]
    assert [one["gold_rows"] for one in document["models"]] == [3, 3]
    assert pl.read_parquet(out)["label_given"].to_list() == ["good", "bad", None, "odd"]


def test_the_lifecycle_reads_the_result_with_its_weights(files: tuple[str, str, str], capsys: pytest.CaptureFixture[str]):
    data, rules, out = files
    run(capsys, data, rules, "-o", out)
    read = read_rows(DataSettings(path=out))
    assert (read.layout, len(read.quarantine)) == ("text_label", 0)
    assert read.rows["weight"].to_list() == pl.read_parquet(out)["weight"].to_list()


def test_majority_can_be_asked_for(files: tuple[str, str, str], capsys: pytest.CaptureFixture[str]):
    data, rules, _ = files
    _, document = run(capsys, data, rules, "--model", "majority")
    assert [one["model"] for one in document["models"]] == ["majority"]


@pytest.mark.parametrize(
    ("more", "why"),
    [
        (["--model", "dawid_sken"], "Did you mean 'dawid_skene'"),
        (["-o", "x.csv"], "ends in .parquet"),
        (["--gold", "lable"], "no column 'lable'"),
        (["--balance", "good=much"], "LABEL=SHARE"),
        (["--balance", "good=0.5,bda=0.5"], "Did you mean 'bad'"),
        (["--balance", "good=0.5,bad=0.2"], "add up to 1"),
    ],
)
def test_mistakes_exit_with_2_and_say_what_to_do(
    files: tuple[str, str, str], capsys: pytest.CaptureFixture[str], more: list[str], why: str
):
    code, document = run(capsys, *files[:2], *more)
    assert code == 2
    assert why in document["error"]


def test_the_example_labels_reviews_better_than_majority(capsys: pytest.CaptureFixture[str]):
    _, document = run(capsys, "examples/reviews/reviews.csv", "examples/labelling/reviews.py")
    by_majority, by_model = (one["accuracy"] for one in document["models"])
    assert by_model > by_majority + 0.02
    assert document["dependent"]
