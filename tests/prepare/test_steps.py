"""Each step does what it says to the planted rows, gives its reason, and keeps the contract of steps."""

from collections.abc import Callable

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tunewright.core import plugins
from tunewright.core.ledger import ACTIONS, Ledger
from tunewright.core.parts import Look, Step, StepResult
from tunewright.prepare.apply import Bench, build_steps

Rows = Callable[..., pl.DataFrame]
NAMES = plugins.names("steps")


def apply(spec: str | dict[str, object], rows: pl.DataFrame, look: Look) -> StepResult:
    step: Step = plugins.build("steps", spec)
    return step.run(rows, look)


def said(done: StepResult) -> list[tuple[str, ...]]:
    return done.changes.select("row_id", "action", "reason", "detail").rows()


def test_repair_text_names_each_repair_that_changed_a_row(rows_of: Rows, look: Look):
    rows = rows_of(["itâ€™s  A &amp; B", "sound", None], ["a"] * 3)
    done = apply("repair_text", rows, look)
    assert done.rows["text"].to_list() == ["it’s A & B", "sound", None]
    assert [one[:3] for one in said(done)] == [
        ("r0", "fixed", "encoding"),
        ("r0", "fixed", "html_entities"),
        ("r0", "fixed", "white_space"),
    ]
    tags = apply({"name": "repair_text", "repairs": ["html_tags"]}, rows_of(["a<br>b"], ["a"]), look)
    assert tags.rows["text"].to_list() == ["a b"]


def test_normalise_labels_relabels_to_the_commonest_spelling(rows_of: Rows, look: Look):
    done = apply("normalise_labels", rows_of(["x", "y", "z"], ["Good", "Good", " good"]), look)
    assert done.rows["label"].to_list() == ["Good"] * 3
    assert said(done) == [("r2", "relabelled", "label_spelling", " good -> Good")]


def test_drop_empty_drops_what_cannot_be_seen(rows_of: Rows, look: Look):
    done = apply("drop_empty", rows_of([None, "", "\u200b \n", "."], ["a"] * 4), look)
    assert done.rows["row_id"].to_list() == ["r3"]
    assert {one[1:3] for one in said(done)} == {("dropped", "empty_text")}


def test_exact_duplicates_keep_the_first_of_each_label(rows_of: Rows, look: Look):
    done = apply("drop_exact_duplicates", rows_of(["So good", "so  GOOD", "so good", "so good"], ["a", "a", "b", "b"]), look)
    assert done.rows["row_id"].to_list() == ["r0", "r2"]
    assert said(done) == [("r1", "dropped", "exact_duplicate", "repeats r0"), ("r3", "dropped", "exact_duplicate", "repeats r2")]


def test_a_text_with_several_labels_goes_altogether(rows_of: Rows, look: Look):
    done = apply("drop_conflicting_labels", rows_of(["Sure.", "other", "sure.", "other"], ["b", "a", "a", "a"]), look)
    assert done.rows["row_id"].to_list() == ["r1", "r3"]
    assert said(done) == [(one, "dropped", "conflicting_labels", "this text is labelled a, b") for one in ("r0", "r2")]


def test_a_chain_of_near_duplicates_is_not_dropped_whole(rows_of: Rows, look: Look):
    words = [f"w{one}" for one in range(40)]
    chain = [" ".join(words[start : start + 12]) for start in (0, 3, 6, 9)]
    done = apply("drop_near_duplicates", rows_of(chain, ["a"] * 4), look)
    assert done.rows["row_id"].to_list() == ["r0", "r2"], "r2 is near to r1, which went, and not to r0, which stayed"
    assert said(done)[0] == ("r1", "dropped", "near_duplicate", "kept r0 at Jaccard 0.538")
    assert len(apply({"name": "drop_near_duplicates", "threshold": 0.9}, rows_of(chain, ["a"] * 4), look).rows) == 4


def test_a_near_duplicate_with_another_label_stays(rows_of: Rows, look: Look):
    rows = rows_of(
        ["I would buy this phone again", "I would not buy this phone again", "I would buy this phone again soon"], ["good", "bad", "good"]
    )
    done = apply({"name": "drop_near_duplicates", "threshold": 0.3}, rows, look)
    assert done.rows["row_id"].to_list() == ["r0", "r1"]


def test_redaction_replaces_and_its_ledger_line_does_not_tell(rows_of: Rows, look: Look):
    done = apply("redact_pii", rows_of(["ask jo@firm.example", "part 123-45-6789", None], ["a"] * 3), look)
    assert done.rows["text"].to_list() == ["ask <EMAIL>", "part 123-45-6789", None]
    assert said(done) == [("r0", "fixed", "personal_data", "email 1")]


ODD = [
    None,
    "",
    "👍🏽",
    "OK",
    "ok",
    "a\x00b",
    "itâ€™s",
    "<b>&amp;</b>",
    "jo@x.example",
    "好" * 50,
    "one two three four",
    "One two three four five",
]


def check_contract(rows: pl.DataFrame, done: StepResult) -> None:
    assert done.rows.columns == rows.columns, "a step adds no columns"
    assert {"row_id", "source", "line", "action", "reason", "detail"} <= set(done.changes.columns)
    assert set(done.changes["action"]) <= set(ACTIONS)
    assert (done.changes["reason"] != "").all()
    assert set(done.changes["row_id"]) <= set(rows["row_id"])
    left = set(rows["row_id"]) - set(done.rows["row_id"])
    assert left == set(done.changes.filter(pl.col("action").is_in(["dropped", "quarantined"]))["row_id"])
    both = done.rows.join(rows, on="row_id", suffix="_before", maintain_order="left")
    touched = both.filter(pl.col("text").ne_missing(pl.col("text_before")) | (pl.col("label") != pl.col("label_before")))
    assert set(touched["row_id"]) == set(done.changes.filter(pl.col("action").is_in(["fixed", "relabelled"]))["row_id"])
    assert both["row_id"].to_list() == [one for one in rows["row_id"] if one not in left], "rows keep their order"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("texts", [[], [None], ["one row"], [*ODD, *ODD]], ids=["no rows", "one null", "one row", "odd rows"])
def test_a_step_accounts_for_every_row(name: str, texts: list[str | None], rows_of: Rows, look: Look):
    labels = [("a", "b", "A ")[one % 3] for one in range(len(texts))]
    rows = rows_of(texts, labels, reason=["mine"] * len(texts), __x=[None] * len(texts))
    before = rows.clone()
    done = apply(name, rows, look)
    check_contract(rows, done)
    assert rows.equals(before)
    again = apply(name, rows, look)
    assert again.rows.equals(done.rows)
    assert again.changes.equals(done.changes)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(st.none() | st.text(max_size=40), st.sampled_from(["a", "A", "b "])), max_size=12))
def test_a_step_accounts_for_wild_rows(name: str, rows: list[tuple[str | None, str]], rows_of: Rows, look: Look):
    frame = rows_of([text for text, _ in rows], [label for _, label in rows])
    check_contract(frame, apply(name, frame, look))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(NAMES), texts=st.lists(st.sampled_from(ODD) | st.text(alphabet="ab &;@<é\u200b", max_size=12), max_size=25))
def test_the_ledger_balances_after_any_order_of_steps(
    order: list[str], texts: list[str | None], rows_of: Rows, context: Callable[..., object], tmp_path_factory: pytest.TempPathFactory
):
    rows = rows_of(texts, [("a", "b", "A ")[one % 3] for one in range(len(texts))])
    where = context(rows, steps=list(order))
    bench = Bench(where)  # type: ignore[arg-type]
    stay = bench.apply(rows, build_steps(list(order))[0])
    ledger: Ledger = where.ledger  # type: ignore[attr-defined]
    ledger.record("prepare", "kept", stay)
    ledger.close("prepare", rows["row_id"], stay["row_id"])
    assert sorted([*stay["row_id"], *bench.gone("dropped")["row_id"]]) == sorted(rows["row_id"])
    assert [one["name"] for one in bench.steps] == list(order)
    assert sum(one["rows_in"] - one["rows_out"] for one in bench.steps) == len(bench.gone("dropped"))
