"""Splits by date and by column: the order in time holds, what the rows say holds, and nothing leaks unseen."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tunewright.prepare as stage
from tunewright.core.errors import DataError, RecipeError
from tunewright.core.recipe import Recipe
from tunewright.core.run import Context
from tunewright.prepare.proof import check_changes
from tunewright.prepare.split_by import split_rows
from tunewright.text.moments import moments

Rows = Callable[..., pl.DataFrame]


def recipe(date: str | None = None, **split: Any) -> Recipe:
    return Recipe.check({"data": {"path": "rows.csv"} | ({"date": date} if date else {}), "prepare": {"split": split}})


def dated(rows_of: Rows, days: list[str | None], groups: list[int] | None = None) -> pl.DataFrame:
    rows = rows_of([f"text {one}" for one in range(len(days))], [("a", "b")[one % 2] for one in range(len(days))], day=days)
    return rows.with_columns(group=pl.Series(groups or list(range(len(days))), dtype=pl.Int64))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(days=st.lists(st.integers(1, 28), min_size=20, max_size=80), groups=st.integers(3, 60))
def test_train_is_before_validation_before_test_and_no_group_straddles(days: list[int], groups: int, rows_of: Rows):
    rows = dated(rows_of, [f"2026-01-{one:02d}" for one in days], [one % groups for one in range(len(days))])
    problem = ""
    try:
        done = split_rows(rows, recipe("day", by="date"))
    except DataError as error:
        problem = str(error)
    if problem:
        assert "prepare.split.by: date leaves" in problem
        return
    where = done.rows.with_columns(split=done.names)
    ends = {name: where.filter(pl.col("split") == name)["day"] for name in ("train", "validation", "test")}
    assert ends["train"].max() < ends["validation"].min()
    assert ends["validation"].max() < ends["test"].min()
    assert where.group_by("group").agg(pl.col("split").n_unique())["split"].max() == 1
    assert len(where) + len(done.changes) == len(rows)
    assert set(done.changes["reason"]) <= {"leaks_across_splits"}


def test_shares_are_met_and_rows_without_a_date_are_quarantined(rows_of: Rows):
    days: list[str | None] = [datetime.fromtimestamp(86400 * (10_000 + one), UTC).strftime("%Y-%m-%d") for one in range(100)]
    days[5], days[6] = None, "soon"
    done = split_rows(dated(rows_of, days), recipe("day", by="date", train=0.6, validation=0.2, test=0.2))
    assert dict(done.names.value_counts().iter_rows()) == {"train": 59, "validation": 20, "test": 19}
    assert done.changes.select("row_id", "action", "reason").rows() == [("r5", "quarantined", "no_date"), ("r6", "quarantined", "no_date")]
    assert done.notes == ["2 rows without a date that can be read are in quarantine"]


def test_dates_are_read_as_people_and_machines_write_them():
    said = [
        "2026-01-02",
        "2026-01-02T03:04:05Z",
        "2026-01-02 03:04:05",
        "Fri, 02 Jan 2026 05:04:05 +0200",
        "02.01.2026",
        "1767323045",
        "soon",
        None,
    ]
    found = moments(pl.Series(said))
    assert found.dt.strftime("%Y-%m-%d %H:%M:%S").to_list() == [
        "2026-01-02 00:00:00", "2026-01-02 03:04:05", "2026-01-02 03:04:05", "2026-01-02 03:04:05", "2026-01-02 00:00:00",
        "2026-01-02 03:04:05", None, None,
    ]  # fmt: skip


def by_column(rows_of: Rows, words: list[str], groups: list[int]) -> pl.DataFrame:
    return dated(rows_of, [None] * len(words), groups).with_columns(part=pl.Series(words))


def test_a_column_decides_and_what_leaks_is_dropped_or_counted(rows_of: Rows):
    rows = by_column(rows_of, ["Train", "train", "dev", "TEST", "training", "test", "val"], [0, 1, 2, 0, 3, 2, 5])
    done = split_rows(rows, recipe(by="column", column="part"))
    assert dict(zip(done.rows["row_id"], done.names, strict=True)) == {
        "r1": "train",
        "r3": "test",
        "r4": "train",
        "r5": "test",
        "r6": "validation",
    }
    assert done.changes.select("row_id", "detail").rows() == [
        ("r0", "stood in train, and rows of its group in test"),
        ("r2", "stood in validation, and rows of its group in test"),
    ]


def test_leaks_may_stay_when_they_are_counted(rows_of: Rows):
    rows = by_column(rows_of, ["train", "train", "dev", "test", "train", "test"], [0, 1, 2, 0, 3, 4])
    done = split_rows(rows, recipe(by="column", column="part", leaks="keep"))
    assert len(done.rows) == 6
    assert done.changes.is_empty()
    assert done.notes[0].startswith("rows that belong together with rows of a later split: train 1; THEY STAY")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "train", "test", "oops"], "in 1 rows it does not; the first is 'oops' (rows.csv, line 5)"),
        (["train", "train", "test", "test"], "leaves no rows for validation"),
        (["train", "dev", "test", "test"], "a class that cannot be learnt: no training row is labelled 'b'"),
    ],
    ids=["odd word", "empty split", "class not in train"],
)
def test_a_column_that_cannot_be_used_says_why(words: list[str], message: str, rows_of: Rows):
    with pytest.raises(DataError) as error:
        split_rows(by_column(rows_of, words, list(range(4))), recipe(by="column", column="part"))
    assert message in str(error.value)


def test_settings_that_do_not_fit_are_refused(rows_of: Rows):
    with pytest.raises(RecipeError, match="by: column and a column go together"):
        recipe(by="column")
    with pytest.raises(RecipeError, match="by: column and a column go together"):
        recipe(column="part")
    with pytest.raises(RecipeError, match="needs data.date"):
        split_rows(dated(rows_of, ["2026-01-01"] * 5), recipe(by="date"))
    with pytest.raises(DataError, match=r"data.date: the rows have no column 'dya'.*Did you mean 'day'"):
        split_rows(dated(rows_of, ["2026-01-01"] * 5), recipe("dya", by="date"))


def test_a_stage_split_by_column_is_proven_and_says_what_left(rows_of: Rows, context: Callable[..., Context]):
    texts: list[str | None] = [f"number {one} of {one * 7} things, and {one * 13} more of them" for one in range(30)]
    texts[29] = texts[0]
    where = context(
        rows_of(texts, [("a", "b")[one % 2] for one in range(30)], part=["train"] * 20 + ["dev"] * 5 + ["test"] * 5),
        steps=["drop_empty"],
        split={"by": "column", "column": "part"},
    )
    result = stage.run(where)
    assert "value for value" in check_changes(where.run)
    assert result.counts == {"train": {"a": 9, "b": 10}, "validation": {"a": 3, "b": 2}, "test": {"a": 2, "b": 3}}
    assert "split: leaks across splits 1" in result.summary()
    assert pl.read_parquet(where.run.path("prepare", "dropped.parquet"))["row_id"].to_list() == ["r0"]


def test_rows_without_labels_are_split_too(rows_of: Rows, context: Callable[..., Context]):
    rows = rows_of([f"question {one} about {one * 7}" for one in range(40)], ["a"] * 40).drop("label").with_columns(answer=pl.lit("yes"))
    where = context(rows, steps=["repair_text", "drop_exact_duplicates", "drop_near_duplicates", "redact_pii"])
    result = stage.run(where)
    assert result.labels == []
    assert result.counts == {"train": {"rows": 28}, "validation": {"rows": 6}, "test": {"rows": 6}}
    assert "value for value" in check_changes(where.run)
