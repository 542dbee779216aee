"""`tunewright diff` tells a row's life; `tunewright unredact` opens what was redacted."""

import json
import stat
from pathlib import Path

import polars as pl
import pytest
import yaml

from tunewright.cli import main
from tunewright.core.run import Run
from tunewright.diff import word_diff
from tunewright.testing.tiny import tiny_model

STEPS = [
    "repair_text",
    "drop_empty",
    "drop_exact_duplicates",
    {"name": "redact_pii", "numbered": "row", "vault": "vault.json"},
    {"name": "balance", "mode": "weights"},
    {"name": "balance", "mode": "oversample", "target": {"good": 0.5, "bad": 0.5}},
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("diff")
    texts = [f"item {one} came on day {one * 7} in box {one * 13}" for one in range(60)]
    texts[2] = "it&#39;s  a great phone, write to jo@firm.example"
    texts[6] = texts[5]
    pl.DataFrame({"text": texts, "label": ["bad" if one % 4 else "good" for one in range(60)]}).write_csv(folder / "rows.csv")
    values = {
        "data": {"path": "rows.csv"},
        "model": {"base": str(tiny_model(folder / "tiny")), "max_length": 160},
        "prepare": {"steps": STEPS},
        "audit": {"checks": ["html_remnants", "exact_duplicates"]},
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(values))
    assert main(["run", str(folder / "recipe.yaml"), "--run", str(folder / "run"), "--until", "prepare"]) == 0
    return Run(folder / "run")


def diff(run: Run, row: str, capsys: pytest.CaptureFixture[str], *more: str) -> str:
    capsys.readouterr()
    assert main(["diff", str(run.directory), row, *more]) == 0
    return capsys.readouterr().out


def test_a_life_goes_from_file_and_line_to_the_tokens(run: Run, capsys: pytest.CaptureFixture[str]):
    said = diff(run, "rows.csv:4", capsys)
    assert "rows.csv, line 4" in said
    assert "html_remnants (info" in said or "html_remnants (warning" in said
    assert "text: it[-&#39;-]{+'+}s[-  -]{+ +}a great phone, write to jo@firm.example" in said
    assert "[-jo@firm.example-]{+<EMAIL_1>+}" in said
    assert "fixed: personal data (email 1)" in said
    tokens = said[said.index("\ntokens") :]
    assert "are read" in tokens
    assert "]][[<|im_end|>]]" in tokens


def test_json_has_all_of_it(run: Run, capsys: pytest.CaptureFixture[str]):
    document = json.loads(diff(run, "rows.csv:4", capsys, "--json"))
    assert [one["name"] for one in document["steps"]][:2] == ["repair_text", "redact_pii"]
    assert document["steps"][1]["fields"][0]["after"].endswith("<EMAIL_1>")
    tokens = document["tokens"]
    assert len(tokens["ids"]) == len(tokens["mask"])
    assert set(tokens["mask"]) == {0, 1}
    assert document["split"] in ("train", "validation", "test")


def test_a_row_that_left_says_why(run: Run, capsys: pytest.CaptureFixture[str]):
    said = diff(run, "rows.csv:8", capsys)
    assert "drop_exact_duplicates: left" in said
    assert "dropped: exact duplicate (repeats r" in said
    assert "tokens" not in said


def test_parents_and_children_name_each_other(run: Run, capsys: pytest.CaptureFixture[str]):
    train = pl.read_parquet(run.path("prepare", "train.parquet"))
    child = train.filter(pl.col("parent_id").is_not_null()).row(0, named=True)
    said = diff(run, child["row_id"], capsys, "--no-tokens")
    assert f"made from {child['parent_id']}" in said
    assert "weight" in said
    assert child["row_id"] in diff(run, child["parent_id"], capsys, "--no-tokens")
    source_line = diff(run, f"rows.csv:{child['line']}", capsys, "--no-tokens")
    assert source_line.startswith(f"{child['parent_id']} "), "the line of the file is the original's"


def test_the_beginning_of_an_id_is_enough_when_it_is_clear(run: Run, capsys: pytest.CaptureFixture[str]):
    row = pl.read_parquet(run.path("prepare", "test.parquet"))["row_id"][0]
    assert diff(run, row[:12], capsys, "--no-tokens").startswith(row)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("r", "rows begin with 'r'"),
        ("nothing", "has no row 'nothing'"),
        ("other.csv:3", "Its sources: rows.csv"),
        ("rows.csv:700", "Near: rows.csv:61"),
    ],
    ids=["several", "none", "source", "line"],
)
def test_what_is_not_there_is_said_with_what_is_near(row: str, message: str, run: Run, capsys: pytest.CaptureFixture[str]):
    assert main(["diff", str(run.directory), row]) == 2
    assert message in capsys.readouterr().err


def test_the_whole_run_is_proven(run: Run, capsys: pytest.CaptureFixture[str]):
    assert main(["verify", str(run.directory), "ledger"]) == 0
    assert "and back, value for value" in capsys.readouterr().out


def test_unredact_puts_back_what_was_redacted(run: Run, capsys: pytest.CaptureFixture[str]):
    vault = run.directory.parent / "vault.json"
    assert stat.S_IMODE(vault.stat().st_mode) == 0o600
    redacted = pl.concat(
        [pl.read_parquet(run.path("prepare", f"{name}.parquet")) for name in ("train", "validation", "test")], how="diagonal"
    )
    path = run.directory.parent / "rows_out.parquet"
    redacted.write_parquet(path)
    assert main(["unredact", str(path), "--vault", str(vault)]) == 0
    opened = pl.read_parquet(path.with_suffix(".opened.parquet"))
    assert opened.filter(pl.col("text").str.contains("jo@firm.example")).height == 1
    assert main(["unredact", str(path), "--vault", str(vault), "-o", str(path)]) == 2


@pytest.mark.parametrize(
    ("before", "after", "shown"),
    [
        ("a b c", "a x c", "a [-b-]{+x+} c"),
        (None, "new", "{+new+}"),
        ("gone", None, "[-gone-]"),
        ("a\x00b", "ab", "[-a-][-\\x00-][-b-]{+ab+}"),
    ],
)
def test_a_word_diff_shows_what_changed(before: str | None, after: str | None, shown: str):
    assert word_diff(before, after).replace("-][-", "") == shown.replace("-][-", "")


def test_long_stretches_without_a_change_are_cut():
    words = " ".join(f"w{one}" for one in range(500))
    said = word_diff(words, words.replace("w250", "other"))
    assert "[-w250-]{+other+}" in said
    assert said.count("…") == 2
    assert len(said) < 300


def test_an_empty_directory_says_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["diff", str(tmp_path), "r1"]) == 2
    assert "is not a run directory" in capsys.readouterr().err
