"""Each step does what it says to the planted rows, gives its reason, and keeps the contract of steps."""

from collections.abc import Callable

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tunewright.core import plugins
from tunewright.core.ledger import ACTIONS, Ledger
from tunewright.core.parts import Look, Step, StepResult
from tunewright.prepare import changes
from tunewright.prepare.apply import Bench, build_steps
from tunewright.sources import chat

Rows = Callable[..., pl.DataFrame]
NAMES = plugins.names("steps")
FOR_ALL = [name for name in NAMES if plugins.load("steps", name).scope == "all"]  # type: ignore[attr-defined]


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
    "jo@x.example <EMAIL_1>",
    "好" * 50,
    "one two three four",
    "One two “three” four five",
]
SPECS: dict[str, dict[str, object]] = {
    "filter_rows": {"keep": [{"field": "text", "max_characters": 30}], "drop": [{"field": "text", "equals": "ok"}]},
    "drop_flagged": {"checks": ["short_text"]},
    "redact_pii": {"numbered": "row"},
    "relabel": {"suggestions": "label_noise"},
    "balance": {"mode": "oversample", "by": "text"},
    "augment": {"methods": ["noise"]},
}


def spec_of(name: str) -> dict[str, object]:
    return {"name": name} | SPECS.get(name, {})


def kinds_of(rows: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """The same rows as the four kinds of task have them."""
    answered = rows.drop("label").with_columns(answer=pl.col("text").reverse())
    chats = [chat.dumped([{"role": "user", "content": one or ""}, {"role": "assistant", "content": one or "x"}]) for one in rows["text"]]
    return {
        "classification": rows,
        "generation": answered,
        "chat": rows.drop("label").with_columns(
            text=pl.col("text").fill_null(""), answer=pl.col("text").fill_null("x"), messages=pl.Series(chats, dtype=pl.String)
        ),
        "preference": answered.with_columns(rejected=pl.col("text")),
        "text": rows.drop("label"),
    }


def check_contract(rows: pl.DataFrame, done: StepResult) -> None:
    """Every difference has its line, and the lines lead there and back."""
    assert {"row_id", "source", "line", "action", "reason", "detail"} <= set(done.changes.columns)
    assert set(done.changes["action"]) <= set(ACTIONS)
    assert (done.changes["reason"] != "").all()
    assert done.rows["row_id"].is_unique().all()
    assert set(done.rows.columns) - set(rows.columns) <= {"weight", "parent_id"}
    lines = changes.between(rows, done.rows, 0, "step")
    changes.check_told(lines, done.changes, "step")
    told = set(done.changes.filter(pl.col("action").is_in(["fixed", "relabelled"]))["row_id"])
    assert told == set(lines.filter(pl.col("action") == "changed")["row_id"]), "a line for a row that did not change"
    entered = [*rows["row_id"], *done.changes.filter(pl.col("action") == "added")["row_id"]]
    gone = done.changes.filter(pl.col("action").is_in(["dropped", "quarantined"]))["row_id"]
    assert sorted([*done.rows["row_id"], *gone]) == sorted(entered)
    played, known = changes.replay(rows, lines)
    assert played.equals(done.rows)
    left = rows.join(done.rows, on="row_id", how="anti")
    back = changes.undo(done.rows, left, known, rows.columns)
    assert rows.select("row_id").join(back, on="row_id", maintain_order="left").equals(rows)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["classification", "generation", "chat", "preference", "text"])
@pytest.mark.parametrize("texts", [[], [None], [*ODD, *ODD]], ids=["no rows", "one null", "odd rows"])
def test_a_step_accounts_for_every_row(name: str, kind: str, texts: list[str | None], rows_of: Rows, look: Look):
    labels = [("a", "b", "A ")[one % 3] for one in range(len(texts))]
    rows = kinds_of(rows_of(texts, labels, reason=["mine"] * len(texts), __x=[None] * len(texts)))[kind]
    if name == "augment" and "messages" in rows.columns:
        return
    before = rows.clone()
    done = apply(spec_of(name), rows, look)
    check_contract(rows, done)
    assert rows.equals(before)
    again = apply(spec_of(name), rows, look)
    assert again.rows.equals(done.rows)
    assert again.changes.equals(done.changes)


@pytest.mark.parametrize("name", ["repair_text", "normalise_text", "normalise_labels", "redact_pii", "filter_rows", "drop_empty"])
@pytest.mark.parametrize("kind", ["classification", "generation", "chat", "preference"])
def test_a_repair_has_nothing_left_to_do(name: str, kind: str, rows_of: Rows, look: Look):
    rows = kinds_of(rows_of([*ODD, *ODD], [("a", "b", "A ")[one % 3] for one in range(2 * len(ODD))]))[kind]
    done = apply(spec_of(name), rows, look)
    again = apply(spec_of(name), done.rows, look)
    assert again.rows.equals(done.rows)
    assert again.changes.is_empty()


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(st.none() | st.text(max_size=40), st.sampled_from(["a", "A", "b "])), max_size=12))
def test_a_step_accounts_for_wild_rows(name: str, rows: list[tuple[str | None, str]], rows_of: Rows, look: Look):
    frame = rows_of([text for text, _ in rows], [label for _, label in rows])
    check_contract(frame, apply(spec_of(name), frame, look))


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(FOR_ALL), texts=st.lists(st.sampled_from(ODD) | st.text(alphabet="ab &;@<é\u200b", max_size=12), max_size=25))
def test_the_ledger_balances_after_any_order_of_steps(
    order: list[str], texts: list[str | None], rows_of: Rows, context: Callable[..., object], tmp_path_factory: pytest.TempPathFactory
):
    rows = rows_of(texts, [("a", "b", "A ")[one % 3] for one in range(len(texts))])
    where = context(rows, steps=[spec_of(name) for name in order])
    bench = Bench(where)  # type: ignore[arg-type]
    stay = bench.apply(rows, build_steps([spec_of(name) for name in order])[0])
    played, _ = changes.replay(rows, pl.concat(bench.lines))
    assert played.equals(stay)
    ledger: Ledger = where.ledger  # type: ignore[attr-defined]
    ledger.record("prepare", "kept", stay)
    ledger.close("prepare", rows["row_id"], stay["row_id"])
    left = pl.concat([bench.gone("dropped"), bench.gone("quarantined")])
    assert sorted([*stay["row_id"], *left["row_id"]]) == sorted(rows["row_id"])
    assert [one["name"] for one in bench.steps] == list(order)
    assert sum(one["rows_in"] - one["rows_out"] for one in bench.steps) == len(left)
