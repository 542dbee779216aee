"""Augmentation of rows with answers: only what the user says changes, and the pieces that an answer may be about stay."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tunewright import lifecycle
from tunewright.core import plugins
from tunewright.core.errors import DataError
from tunewright.core.parts import Look, StepResult
from tunewright.core.progress import Report
from tunewright.core.recipe import Recipe
from tunewright.core.run import Run
from tunewright.diff import life, told
from tunewright.prepare.augment.turns import PIECES, user_lines, user_said
from tunewright.verify import verify

REVIEWS = pl.read_csv(Path(__file__).parents[2] / "examples" / "reviews" / "reviews.csv", infer_schema=False)["text"].unique(
    maintain_order=True
)
SAID = REVIEWS.filter(REVIEWS.str.len_chars().is_between(60, 160)).head(240).to_list()
OFFLINE = ["noise", "synonyms", "templates"]
SYSTEM = "You are the shop's assistant. Answer in one sentence, and never promise a refund before an employee has looked at the order."
CALL = {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "find", "arguments": "{\"order\": 17}"}}]}  # fmt: skip
CODE = "Why does `open('a.txt')` fail with \"no such file\" on line 12 of https://example.org/a.py?"


def augment(rows: pl.DataFrame, look: Look, **values: Any) -> StepResult:
    return plugins.build("steps", {"name": "augment", "share": 1.0, **values}).run(rows, look)  # type: ignore[no-any-return]


def prompts(place: int) -> dict[str, Any]:
    return {"prompt": SAID[place], "completion": SAID[place + 120]}


def alpaca(place: int) -> dict[str, Any]:
    return {"instruction": "What does the customer think of the thing that was bought?", "input": SAID[place], "output": SAID[place + 120]}


def sharegpt(place: int) -> dict[str, Any]:
    turns = [("human", SAID[place]), ("gpt", "Thank you. What did you buy?"), ("human", f"It was order {place}, a phone."), ("gpt", SAID[place + 120])]  # fmt: skip
    return {"system": SYSTEM, "conversations": [{"from": who, "value": said} for who, said in turns]}


def messages(place: int) -> dict[str, Any]:
    result = {"role": "tool", "tool_call_id": "c1", "content": '{"state": "not yet sent, and don\'t ask"}'}
    turns = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": SAID[place]}, CALL, result]
    tools = [
        {"type": "function", "function": {"name": "find", "parameters": {"type": "object", "properties": {"order": {"type": "integer"}}}}}
    ]
    return {"messages": [*turns, {"role": "assistant", "content": SAID[place + 120], "weight": 1}], "tools": tools}


def preference(place: int) -> dict[str, Any]:
    return {"prompt": SAID[place], "chosen": SAID[place + 120], "rejected": "I do not know what to say to that at all."}


@pytest.fixture(params=[prompts, alpaca, sharegpt, messages, preference], ids=lambda one: one.__name__)
def prepared(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    """A run whose rows of one layout were audited and augmented."""
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps(request.param(place)) for place in range(120)))
    step = {"name": "augment", "methods": OFFLINE, "share": 0.6}
    recipe = Recipe.check({"data": {"path": str(tmp_path / "rows.jsonl")}, "audit": {"checks": ["empty_text"]}, "prepare": {"steps": [step]}})  # fmt: skip
    for name in ("audit", "prepare"):
        lifecycle.run_only(name, recipe, tmp_path / "run", Report(quiet=True))
    return Run(tmp_path / "run")


def others(talk: str) -> list[Any]:
    """All of a chat but what the user says."""
    return [{**one, "content": ""} if one["role"] == "user" else one for one in json.loads(talk)]


def test_children_of_every_layout_keep_all_but_the_users_words(prepared: Run):
    parts = {name: pl.read_parquet(prepared.path("prepare", f"{name}.parquet")) for name in ("train", "validation", "test")}
    born = parts["train"].filter(pl.col("parent_id").is_not_null())
    assert len(born) > 25
    both = born.join(parts["train"], left_on="parent_id", right_on="row_id", suffix="_parent")
    assert len(both) == len(born), "a child stands where its parent stands"
    for name in ("answer", "rejected", "tools", "source", "line", "group"):
        if name in both.columns:
            assert both[name].eq_missing(both[f"{name}_parent"]).all(), name
    assert (both["text"] != both["text_parent"]).all()
    if "messages" in both.columns:
        for child, parent in both.select("messages", "messages_parent").drop_nulls().iter_rows():
            assert others(child) == others(parent)
            assert child != parent
    assert verify(prepared, "ledger")[0]["ok"]


def test_the_life_of_a_child_shows_what_the_user_says_now(prepared: Run):
    child = pl.read_parquet(prepared.path("prepare", "train.parquet")).filter(pl.col("parent_id").is_not_null()).row(0, named=True)
    document = life(prepared, child["row_id"], tokens=False)
    assert document["parent_id"] == child["parent_id"]
    fields = {one["field"] for step in document["steps"] for one in step["fields"]}
    assert fields == {"text"} | ({"messages"} if child.get("messages") else set())
    assert f"made from {child['parent_id']}" in "\n".join(told(document))
    assert child["row_id"] in life(prepared, child["parent_id"], tokens=False)["children"]


def chats(*talks: list[dict[str, Any]]) -> pl.DataFrame:
    from tunewright.sources import chat

    lines = [("r" + str(place), "rows.jsonl", place + 1, *chat.split(talk), chat.dumped(talk)) for place, talk in enumerate(talks)]
    return pl.DataFrame(lines, schema=["row_id", "source", "line", "text", "answer", "messages"], orient="row")


def asking(*said: str) -> list[dict[str, Any]]:
    return [{"role": "system", "content": SYSTEM}] + [
        turn for one in said for turn in ({"role": "user", "content": one}, {"role": "assistant", "content": f"About that: {len(one)}."})
    ]


@pytest.mark.parametrize("method", OFFLINE)
def test_code_quotations_links_and_numbers_are_left_alone(method: str, look: Look):
    rows = chats(*[asking(f"Perhaps I don't see it. {CODE} Maybe {place} are enough, I cannot say.") for place in range(12)])
    done = augment(rows, look, methods=[method], per_row=3, share=3.0)
    born = done.rows[len(rows) :]
    assert len(born) >= 12
    for said, parent in zip(user_said(born), born["parent_id"], strict=True):
        old = user_said(rows.filter(pl.col("row_id") == parent))[0]
        assert all(said.count(one) >= old.count(one) for one in PIECES.findall(old))
        assert said != old


def test_every_turn_of_the_user_is_written_anew_and_the_last_unanswered_one_is_not(look: Look):
    talk = [*asking("I bought the red lamp last week", "it broke after two days"), {"role": "user", "content": "thank you very much"}]
    rows = chats(talk)
    assert user_lines(rows)["text"].to_list() == ["I bought the red lamp last week", "it broke after two days"]
    done = augment(rows, look, methods=[{"name": "noise", "rate": 0.1}])
    new = json.loads(done.rows["messages"][1])
    assert new[1]["content"] != talk[1]["content"]
    assert new[3]["content"] != talk[3]["content"]
    assert new[5] == talk[5]
    assert new[3]["content"] in done.rows["text"][1]


def test_a_question_of_the_test_is_not_written_even_under_another_answer(look: Look):
    rows = chats(asking("where is the parcel that I sent to my sister in the north last week"))
    held_out = rows.with_columns(row_id=pl.lit("t"), answer=pl.lit("a quite different answer that shares no words with it"))
    done = augment(rows, replace(look, held_out=held_out), methods=[{"name": "templates", "ways": ["frames"]}])
    assert done.changes["reason"].to_list() == ["templates", "near_test"]


def test_a_shared_system_message_is_no_nearness(look: Look):
    rows, held_out = chats(asking("my lamp broke")), chats(asking("please send the invoice again")).with_columns(row_id=pl.lit("t"))
    done = augment(rows, replace(look, held_out=held_out), methods=[{"name": "templates", "ways": ["frames"]}])
    assert len(done.rows) == 2


def test_a_paraphrase_that_loses_a_number_or_a_turn_is_not_taken(server: Any, look: Look):
    replies = {
        "order 17": "Where has my seventeenth order gone?",
        "order 18": "Where has order 18 gone?",
        "lamp": "The lamp does not work.",
    }
    server.reply = lambda text: next((new for old, new in replies.items() if old in text.split("Text: ")[1]), None)
    rows = chats(asking("Where is order 17?"), asking("Where is order 18?"), asking("My lamp is broken.", "And the other one, too."))
    method = {"name": "paraphrase", "base_url": f"{server.url}/v1", "model": "tiny", "retries": 0}
    done = augment(rows, look, methods=[method])
    assert done.changes.filter(pl.col("action") == "dropped").select("row_id", "reason").rows() == [
        ("r0+paraphrase0.1", "lost_piece"),
        ("r2+paraphrase0.1", "no_answer"),
    ]
    assert user_said(done.rows[3:]).to_list() == ["Where has order 18 gone?"]


def test_a_synthetic_row_is_a_question_with_its_answer_under_the_same_system_message(server: Any, look: Look):
    server.reply = lambda text: "Question: How do I return a chair?\nAnswer: Send it back within two weeks." if "lamp" in text else "Sure!"
    rows = chats(asking("How do I return a lamp?"))
    method = {"name": "synthetic", "base_url": f"{server.url}/v1", "model": "tiny", "retries": 0}
    done = augment(rows, look, methods=[method])
    child = done.rows.row(1, named=True)
    assert json.loads(child["messages"]) == [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": "How do I return a chair?"},
        {"role": "assistant", "content": "Send it back within two weeks."},
    ]
    assert child["answer"] == "Send it back within two weeks."
    assert child["text"] == f"{SYSTEM}\n\nHow do I return a chair?"
    assert "Answer: About that" in server.asked[0]["messages"][0]["content"]
    plain = augment(rows.drop("messages").with_columns(text=pl.lit("How do I return a lamp?")), look, methods=[method]).rows
    assert plain["text"].to_list() == ["How do I return a lamp?", "How do I return a chair?"]
    other = augment(chats(asking("How do I return a chandelier?")), look, methods=[method])
    assert other.changes["reason"].to_list() == ["synthetic", "no_answer"]


def test_synthetic_cannot_continue_a_chat_and_says_so(look: Look):
    method = {"name": "synthetic", "model": "tiny"}
    with pytest.raises(DataError, match=r"synthetic writes a question with its answer, but these rows are all chats of several turns"):
        augment(chats(asking("one thing", "another thing")), look, methods=[method])


def test_rows_without_words_of_the_user_have_no_children(look: Look, rows_of: Callable[..., pl.DataFrame]):
    rows = chats([{"role": "system", "content": SYSTEM}, {"role": "assistant", "content": "Hello, what can I do for you?"}])
    assert len(augment(rows, look, methods=["noise"]).rows) == 1
