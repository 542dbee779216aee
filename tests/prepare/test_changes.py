"""Every change is written down: it can be played again, taken back, and nothing else happened."""

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tunewright.prepare as stage
from tunewright.core.errors import LedgerError
from tunewright.core.files import read_json, read_parquet, write_parquet
from tunewright.core.run import Context
from tunewright.prepare import changes
from tunewright.prepare.proof import check_changes, rows_after
from tunewright.verify import verify

Rows = Callable[..., pl.DataFrame]
Make = Callable[..., Context]
WILD = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
CELL = st.none() | st.text(alphabet='ab é\x00,"', max_size=4)


def mutate(rows: pl.DataFrame, plan: list[tuple[int, str, str | None, float]], step: int) -> pl.DataFrame:
    """Change, drop and add rows as `plan` says: (which row, what to do, a text, a number). A new row has an id that none ever had."""
    for turn, (place, what, text, number) in enumerate(plan):
        if rows.is_empty():
            return rows
        row = rows["row_id"][place % len(rows)]
        if what == "drop":
            rows = rows.filter(pl.col("row_id") != row)
        elif what == "text":
            rows = rows.with_columns(text=pl.when(pl.col("row_id") == row).then(pl.lit(text, pl.String)).otherwise("text"))
        else:
            rows = (
                rows if "weight" in rows.columns else rows.with_columns(weight=pl.lit(None, pl.Float64), parent_id=pl.lit(None, pl.String))
            )
            if what == "weight":
                rows = rows.with_columns(weight=pl.when(pl.col("row_id") == row).then(pl.lit(number)).otherwise("weight"))
            else:
                child = rows.filter(pl.col("row_id") == row).with_columns(
                    row_id=pl.lit(f"{row}+{step}.{turn}"), parent_id="row_id", text=pl.lit(text, pl.String)
                )
                rows = pl.concat([rows, child])
    return rows


PLAN = st.lists(
    st.tuples(st.integers(0, 9), st.sampled_from(["drop", "text", "weight", "child"]), CELL, st.floats(allow_nan=False)), max_size=5
)


@WILD
@given(texts=st.lists(CELL, min_size=1, max_size=6), plans=st.lists(PLAN, max_size=4))
def test_what_was_written_down_leads_to_the_result_and_back(texts: list[str | None], plans: list[list], rows_of: Rows):  # type: ignore[type-arg]
    start = rows = rows_of(texts, ["a"] * len(texts))
    lines, left = [changes.nothing()], [rows.clear()]
    for step, plan in enumerate(plans):
        after = mutate(rows, plan, step)
        if not after.is_empty():
            known = rows["row_id"].to_list()
            after = pl.concat([after.filter(pl.col("row_id").is_in(known)), after.filter(~pl.col("row_id").is_in(known))])
        lines.append(changes.between(rows, after, step, "wild"))
        left.append(rows.join(after, on="row_id", how="anti"))
        rows = after
    played, told = changes.replay(start, pl.concat(lines))
    assert played.equals(rows)
    assert played.schema == rows.schema
    back = changes.undo(rows, pl.concat(left, how="diagonal_relaxed"), told, start.columns)
    assert start.select("row_id").join(back, on="row_id", maintain_order="left").equals(start)
    assert len(back) == len(start)


def test_only_what_came_after_is_written(rows_of: Rows):
    before = rows_of(["ask jo@firm.example", "fine"], ["a", "b"])
    after = before.with_columns(text=pl.Series(["ask <EMAIL>", "fine"]))
    lines = changes.between(before, after, 3, "redact_pii")
    assert lines.rows() == [("r0", 3, "redact_pii", "changed", "text", "ask <EMAIL>")]


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda rows: rows.drop("label"), "removed column 'label'"),
        (lambda rows: rows.reverse(), "changed the order of the rows"),
        (lambda rows: rows.with_columns(line=pl.lit("x")), "changed its type"),
    ],
    ids=["column", "order", "type"],
)
def test_a_step_may_not_lose_columns_types_or_the_order(break_it: Callable[[pl.DataFrame], pl.DataFrame], message: str, rows_of: Rows):
    rows = rows_of(["one", "two"], ["a", "b"])
    with pytest.raises(LedgerError, match=message):
        changes.between(rows, break_it(rows), 0, "odd")


def prepared(rows_of: Rows, context: Make) -> Context:
    texts: list[str | None] = [f"number {one} says {one * 7} and {one * 11} &amp; more" for one in range(60)]
    texts[3] = texts[9] = "exactly the same words"
    texts[4], texts[6] = "write to jo@firm.example", None
    where = context(rows_of(texts, [("good", "bad", "Good")[one % 3] for one in range(60)], reason=["theirs"] * 60))
    stage.run(where)
    return where


def test_a_prepared_run_is_proven_from_its_files(rows_of: Rows, context: Make):
    run = prepared(rows_of, context).run
    assert check_changes(run).endswith("lead from the rows read to the splits, and back, value for value")


def test_later_steps_can_be_undone(rows_of: Rows, context: Make):
    where = prepared(rows_of, context)
    read = read_parquet(where.run.path("audit", "rows.parquet"))
    names = [one["name"] for one in read_json(where.run.path("prepare", "summary.json"))["steps"]]
    assert rows_after(where.run, 0).equals(read)
    mended = rows_after(where.run, names.index("repair_text") + 1)
    assert len(mended) == len(read)
    assert mended["text"][0] == "number 0 says 0 and 0 & more"
    assert mended["text"][4] == "write to jo@firm.example", "redaction comes later"
    assert rows_after(where.run, len(names))["text"].to_list().count("write to <EMAIL>") == 1


@pytest.mark.parametrize("file", ["train", "dropped", "changes"])
def test_a_file_that_was_tampered_with_is_found(file: str, rows_of: Rows, context: Make):
    run = prepared(rows_of, context).run
    path: Path = run.path("prepare", f"{file}.parquet")
    frame, column = read_parquet(path), "after" if file == "changes" else "text"
    write_parquet(path, frame.with_columns(pl.when(pl.int_range(pl.len()) == 0).then(pl.lit("other")).otherwise(column).alias(column)))
    with pytest.raises(LedgerError, match=r"is not what the changes lead to|is not what \w+ left behind|holds other rows"):
        check_changes(run)


def test_verify_ledger_names_the_row_that_was_tampered_with(rows_of: Rows, context: Make):
    where = prepared(rows_of, context)
    where.run.path("prepare", "done.json").write_text('{"stage": "prepare"}')
    assert verify(where.run, "ledger")[0]["ok"]
    path = where.run.path("prepare", "train.parquet")
    frame = read_parquet(path)
    write_parquet(path, frame.with_columns(label=pl.lit("bad")))
    result = verify(where.run, "ledger")[0]
    assert not result["ok"]
    assert "prepare/train.parquet: label of row" in result["text"]
