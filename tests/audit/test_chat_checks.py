"""Chats, preference pairs and long conversations: faults are named with turn and reason, sound ones are left alone."""

import json
from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

from tunewright.core import plugins
from tunewright.core.parts import Look

Rows = Callable[[list[str | None], list[str]], pl.DataFrame]
WEATHER = [
    {
        "type": "function",
        "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}},
    }
]


def turn(role: str, content: str | None = "Fine, thanks.", **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


def call(name: str = "weather", arguments: str = '{"city": "Rome"}', number: str = "c1") -> dict[str, Any]:
    return turn("assistant", None, tool_calls=[{"id": number, "type": "function", "function": {"name": name, "arguments": arguments}}])


USER, ANSWER, RESULT = turn("user", "How are you?"), turn("assistant"), turn("tool", "22 degrees", tool_call_id="c1")
TWO_CALLS = turn("assistant", None, tool_calls=[*call()["tool_calls"], *call(number="c2")["tool_calls"]])
BROKEN = {
    "same_role_twice": ([USER, USER, ANSWER], 2),
    "unknown_role": ([turn("bot"), USER, ANSWER], 1),
    "system_not_first": ([USER, turn("system", "Be kind."), ANSWER], 2),
    "starts_with_assistant": ([ANSWER, USER, ANSWER], 1),
    "empty_turn": ([turn("user", " \n"), ANSWER], 1),
    "no_assistant": ([USER], 1),
    "ends_without_answer": ([USER, ANSWER, USER], 3),
    "result_without_call": ([USER, RESULT, ANSWER], 2),
    "call_without_result": ([USER, call(), USER, ANSWER], 2),
    "unknown_tool": ([USER, call("wether"), RESULT, ANSWER], 2),
    "arguments_not_json": ([USER, call(arguments="{city: Rome}"), RESULT, ANSWER], 2),
    "wrong_arguments": ([USER, call(arguments='{"town": "Rome"}'), RESULT, ANSWER], 2),
    "bad_weight": ([USER, turn("assistant", weight=0.5)], 2),
    "nothing_learnt": ([USER, turn("assistant", weight=0)], 2),
}
SOUND = [
    [USER, ANSWER],
    [turn("system", "Be kind."), USER, ANSWER, USER, ANSWER],
    [USER, call(), RESULT, ANSWER],
    [USER, call()],
    [USER, turn("assistant", weight=0), USER, turn("assistant", weight=1)],
    [USER, TWO_CALLS, RESULT, turn("tool", "sun", tool_call_id="c2"), ANSWER],
    [turn("user", 'say "\\n" and {"role"}'), turn("assistant", "\n\u4f60好")],
]


def chats(messages: list[Any], look: Look, tools: Any = WEATHER, **settings: object) -> pl.DataFrame:
    said = [one if isinstance(one, str) else json.dumps(one) for one in messages]
    rows = pl.DataFrame({"row_id": [f"r{one}" for one in range(len(said))], "text": "x", "messages": said, "tools": json.dumps(tools)})
    return plugins.build("checks", {"name": "broken_chat", **settings}).run(rows, look)


@pytest.mark.parametrize("reason", BROKEN)
def test_a_broken_chat_is_named_with_its_turn_and_reason(reason: str, look: Look):
    messages, place = BROKEN[reason]
    evidence = chats([messages], look)["evidence"].to_list()
    assert len(evidence) == 1
    assert evidence[0].startswith(f"turn {place}: {reason}: ")


@pytest.mark.parametrize("spaces", [(",", ":"), (", ", ": ")], ids=["compact", "spaced"])
def test_sound_chats_are_left_alone(spaces: tuple[str, str], look: Look):
    assert chats([json.dumps(one, separators=spaces) for one in SOUND], look).is_empty()


def test_the_reasons_that_do_not_matter_can_be_left_out(look: Look):
    assert chats([[ANSWER, USER, ANSWER]], look, leave=["starts_with_assistant"]).is_empty()


def test_what_is_no_chat_at_all_is_no_crash(look: Look):
    found = chats(["", "[]", "{}", "[1]", '"a"', "[{}]"], look)
    assert set(found["row_id"]) == {f"r{one}" for one in range(6)}


def test_arguments_are_not_judged_without_declared_tools(look: Look):
    assert chats([[USER, call("anything"), RESULT, ANSWER]], look, tools=None).is_empty()


def pairs(chosen: list[str], rejected: list[str], look: Look, name: str = "preference_pairs", **settings: object) -> pl.DataFrame:
    rows = pl.DataFrame({"row_id": [f"r{one}" for one in range(len(chosen))], "text": "What is the capital of Italy?"})
    rows = rows.with_columns(answer=pl.Series(chosen, dtype=pl.String), rejected=pl.Series(rejected, dtype=pl.String))
    return plugins.build("checks", {"name": name, **settings}).run(rows, look)


GOOD, BAD = "The capital of Italy is Rome, a city on the Tiber.", "I do not know much about capitals of countries."
TALK = "\n\nHuman: Hi{}\n\nAssistant: "


@pytest.mark.parametrize(
    ("chosen", "rejected", "reason", "severity"),
    [
        (GOOD, GOOD.upper(), "alike", "warning"),
        (f"  {GOOD}", GOOD.upper(), "alike", "warning"),
        ("A  " + GOOD, "a " + GOOD, "alike", "warning"),
        (GOOD, GOOD.replace("a city", "the city"), "nearly_alike", "info"),
        ("  ", BAD, "empty_side", "warning"),
        (GOOD, "", "empty_side", "warning"),
        (TALK.format("!") + GOOD, TALK.format("?") + BAD, "prompts_differ", "warning"),
        ("I'm sorry, but I can't assist with that.", GOOD, "likely_inverted", "info"),
        ("The capital of Italy, as you may know from your", GOOD, "likely_inverted", "info"),
    ],
)
def test_a_pair_that_teaches_nothing_or_the_wrong_thing(chosen: str, rejected: str, reason: str, severity: str, look: Look):
    found = pairs([GOOD, chosen], [BAD, rejected], look)
    assert found.select("row_id", "severity").rows() == [("r1", severity)]
    assert found["evidence"][0].startswith(f"{reason}: ")


def test_sound_pairs_are_left_alone(look: Look):
    chosen = [GOOD, TALK.format("!") + GOOD, "No, the sum is 4.", "Rome"]
    rejected = [BAD, TALK.format("!") + BAD, "Yes, the sum is 5, I am quite sure of it.", "I'm sorry, but I can't assist with that."]
    assert pairs(chosen, rejected, look).is_empty()


def test_pairs_whose_chosen_side_is_nearly_always_longer_are_told_with_an_interval(look: Look):
    found = pairs(["long " * 30] * 90 + ["short"] * 10, ["brief words"] * 100, look, "preference_length")
    assert found["evidence"][0].startswith("the chosen answer is the longer one in 90% of 100 pairs (95% interval 83% to 94%)")
    assert found["severity"].to_list() == ["warning"]
    assert pairs(["long " * 30, "short"] * 50, ["brief words"] * 100, look, "preference_length").is_empty()


def conversations(lengths: list[tuple[int, int]], look: Look, **settings: object) -> pl.DataFrame:
    rows = pl.DataFrame({"row_id": [f"r{one}" for one in range(len(lengths))]})
    rows = rows.with_columns(text=pl.Series(["good " * one for one, _ in lengths]), answer=pl.Series(["bad " * one for _, one in lengths]))
    return plugins.build("checks", {"name": "long_conversations", **settings}).run(rows, look)


def test_prompt_and_answer_are_counted_together_in_tokens(look: Look):
    found = conversations([(5, 5), (60, 400), (600, 5)], look)
    assert found["row_id"].to_list() == ["r2", "r1"]
    assert (
        found["evidence"]
        .str.contains(r"tokens where 256 fit, nothing of the answer is left: |tokens where 256 fit, its end is cut off: ")
        .all()
    )


def test_the_template_counts_too(look: Look):
    """The first length at which a chat is too long is the one at which its template's tokens are over the limit."""
    tokenizer = look.tokenizer()
    lengths = [(one, 40) for one in range(40, 260)]
    chats = [[turn("user", "good " * one), turn("assistant", "bad " * other)] for one, other in lengths]
    exact = [len(tokenizer(tokenizer.apply_chat_template(one, tokenize=False), add_special_tokens=False)["input_ids"]) for one in chats]
    expected = {f"r{number}" for number, tokens in enumerate(exact) if tokens > 256}
    assert 0 < len(expected) < len(lengths)
    assert set(conversations(lengths, look)["row_id"]) == expected


def test_what_was_not_counted_is_said(look: Look):
    found = conversations([(600, 5), (500, 5), (400, 5)], look, sample=2)
    assert found["row_id"].drop_nulls().to_list() == ["r0", "r1"]
    assert found["evidence"][2].startswith("1 shorter rows of more than 256 bytes were not counted")
