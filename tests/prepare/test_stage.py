"""Prepare as a stage: what it writes, that every row is accounted for, that the test is sealed."""

import json
from collections.abc import Callable

import polars as pl
import pytest

import tunewright.prepare as stage
from tunewright.core.errors import DataError, LedgerError
from tunewright.core.ledger import check_conservation
from tunewright.core.parts import Look, Step, StepResult
from tunewright.core.run import Context
from tunewright.core.seal import check_seal, open_test

Make = Callable[..., Context]
Rows = Callable[..., pl.DataFrame]


def some_rows(rows_of: Rows) -> pl.DataFrame:
    texts: list[str | None] = [f"number {one} says {one * 7} and {one * 11} &amp; more" for one in range(60)]
    texts[3] = texts[9] = "exactly the same words"
    texts[4], texts[6] = "write to jo@firm.example", None
    labels = [("good", "bad")[one % 2] for one in range(60)]
    return rows_of(texts, labels, author=[f"author {one // 3}" for one in range(60)], reason=["theirs"] * 60)


def test_every_row_is_in_one_split_or_left_with_a_reason(rows_of: Rows, context: Make):
    rows = some_rows(rows_of)
    where = context(rows, groups=("author",))
    result = stage.run(where)
    read = {
        name: pl.read_parquet(where.run.path("prepare", f"{name}.parquet"))
        for name in ("train", "validation", "test", "dropped", "quarantine")
    }
    ids = pl.concat([part["row_id"] for part in read.values()])
    assert sorted(ids) == sorted(rows["row_id"])
    assert dict(read["dropped"].select("row_id", "reason").iter_rows()) == {"r6": "empty_text", "r9": "exact_duplicate"}
    assert read["dropped"]["detail"].to_list() == ["", "repeats r3"]
    assert read["dropped"]["reason_"].to_list() == ["theirs"] * 2
    assert read["quarantine"].is_empty()
    for name in ("train", "validation", "test"):
        assert read[name].columns[:5] == ["row_id", "source", "line", "text", "label"]
        assert read[name].schema["group"] == pl.Int64
        assert read[name]["reason"].unique().to_list() == ["theirs"]
        assert not read[name]["text"].str.contains("&amp;|@").any()
    authors = [set(read[name]["author"]) for name in ("train", "validation", "test")]
    assert sum(map(len, authors)) == len(set.union(*authors))
    out = pl.concat([read[name]["row_id"] for name in ("train", "validation", "test")])
    check_conservation("prepare", where.ledger.lines(), rows["row_id"], out)
    assert result.summary()[0] == "60 rows came in, 58 stay, 2 left for a stated reason"
    assert "repair_text: html entities 56" in result.summary()


def test_the_summary_counts_what_the_files_hold(rows_of: Rows, context: Make):
    where = context(some_rows(rows_of))
    stage.run(where)
    summary = json.loads(where.run.path("prepare", "summary.json").read_text())
    assert summary["labels"] == ["bad", "good"]
    for name, by_label in summary["counts"].items():
        part = pl.read_parquet(where.run.path("prepare", f"{name}.parquet"))
        assert by_label == {label: int((part["label"] == label).sum()) for label in ("bad", "good")}
    shares = {"train": 0.7, "validation": 0.15, "test": 0.15}
    assert summary["split"] == shares | {"by": "random", "column": None, "keep": True, "leaks": "drop"}
    empty = next(one for one in summary["steps"] if one["name"] == "drop_empty")
    assert empty == {"name": "drop_empty", "rows_in": 60, "rows_out": 59, "changed": 1, "reasons": {"empty_text": 1}}


def test_the_test_split_is_sealed_and_a_second_run_gives_the_same(rows_of: Rows, context: Make):
    where = context(some_rows(rows_of))
    stage.run(where)
    first = check_seal(where.run)["sha256"]
    frame, openings = open_test(where.run, "evaluate", "abc")
    assert openings == 1
    stage.run(where)
    assert check_seal(where.run)["sha256"] == first
    assert len(check_seal(where.run)["openings"]) == 1, "looks at the same rows stay counted"  # type: ignore[arg-type]
    assert frame.equals(pl.read_parquet(where.run.path("prepare", "test.parquet")))


class LosesRows(Step):
    """Loses a row without a word."""

    def run(self, rows: pl.DataFrame, look: Look) -> StepResult:
        nothing = rows.clear().select("row_id", "source", "line", action=pl.lit(""), reason=pl.lit(""), detail=pl.lit(""))
        return StepResult(rows[1:], nothing)


def test_a_step_that_loses_a_row_in_silence_is_an_error(rows_of: Rows, context: Make, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tunewright.core.plugins.build", lambda kind, spec: LosesRows())
    with pytest.raises(LedgerError, match="row r0 was removed in silence: it has no line dropped or quarantined"):
        stage.run(context(some_rows(rows_of)))


def test_nothing_is_sealed_when_the_rows_cannot_be_split(rows_of: Rows, context: Make):
    where = context(rows_of(["one", "two", "three"], ["a", "b", "b"]))
    with pytest.raises(DataError, match="fewer of 'a'"):
        stage.run(where)
    assert not where.run.path("prepare").exists()
