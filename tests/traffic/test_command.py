"""`tunewright traffic STORE ...`, as a user types it."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.traffic.conftest import exchange
from tunewright.cli import main
from tunewright.traffic.store import TrafficStore


@pytest.fixture
def path(tmp_path: Path) -> str:
    with TrafficStore.open("sqlite:///traffic.db", tmp_path) as store, store.writer() as writer:
        for number in range(30):
            writer.log(exchange(number))
    return str(tmp_path / "traffic.db")


def run(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> Any:
    assert main(["traffic", *words, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def test_from_a_draw_to_rows_that_can_be_trained_on(path: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert run(capsys, path, "draw", "--uniform", "4", "--targeted", "2", "--by", "ann") == {"uniform": 4, "targeted": 2}
    assert len(run(capsys, path, "queue")) == 6
    sheet = tmp_path / "sheet.csv"
    run(capsys, path, "queue", "-o", str(sheet))
    pl.read_csv(sheet).with_columns(label=pl.lit("neutral")).write_csv(sheet)
    done = run(capsys, path, "import-feedback", str(sheet), "--approve", "--by", "ann")
    assert done == {"added": 6, "read": 6, "unknown_requests": 0, "not_usable": []}
    rows = tmp_path / "rows.parquet"
    assert run(capsys, path, "export", "--training", "-o", str(rows))["rows"] == 6
    found = pl.read_parquet(rows)
    assert found["label"].unique().to_list() == ["neutral"]
    assert sorted(found["sampled"].value_counts().iter_rows()) == [("targeted", 2), ("uniform", 4)]
    assert found["source"][0] == "traffic:reviews@1"
    assert found["line"].to_list() == found["id"].to_list()


def test_single_words_stats_export_and_purge(path: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert run(capsys, path, "label", "cls-1", "neutral", "--approve", "--by", "ann")["known"]
    assert not run(capsys, path, "label", "cls-99", "neutral", code=1)["known"]
    assert run(capsys, path, "approve", "cls-2", "cls-77", code=1) == {"approved": 1, "left": {"cls-77": "no such request in the store"}}
    assert run(capsys, path, "reject", "cls-2")["rejected"] == 1
    for what, rows in (("--labelled", 2), ("--feedback", 3), (None, 30)):
        assert run(capsys, path, "export", *([what] if what else []), "-o", str(tmp_path / "out.jsonl"))["rows"] == rows
    assert (
        run(capsys, path, "export", "--since", "2026-11-27T12:00:25Z", "--version", "reviews@1", "-o", str(tmp_path / "o.csv"))["rows"] == 5
    )
    assert main(["traffic", f"sqlite:///{path}", "stats"]) == 0
    shown = capsys.readouterr().out
    assert "30 requests, 0 failed" in shown
    assert "1 of it on requests that are not in the store" in shown
    assert run(capsys, path, "purge", "--days", "36500") == {"requests": 0, "feedback": 0, "reviews": 0}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["none.db", "stats"], "there is no such traffic store"),
        (["{path}", "draw"], "say how many"),
        (["{path}", "export", "--since", "yesterday", "-o", "x.csv"], "time must be an ISO time"),
        (["{path}", "purge", "--days", "-1"], "must be 0 or more"),
        (["{path}", "import-feedback", "none.csv"], "there is no such file"),
    ],
)
def test_mistakes_say_what_to_do(path: str, words: list[str], message: str, capsys: pytest.CaptureFixture[str]):
    assert main(["traffic", *(one.format(path=path) for one in words)]) == 2
    assert message in capsys.readouterr().err
