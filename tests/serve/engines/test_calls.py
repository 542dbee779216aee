"""Calls of tools: read from what models write, forced by grammar, through an upstream and OpenAI's own client."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.serve.engines.house import engine, pieces, release, run
from tests.serve.engines.test_upstream import USER, served, upstream
from tests.serve.house import exchanges, setup_of
from tunewright.serve.app import create_app
from tunewright.serve.embedded.calls import Calls, read_calls, schema_of
from tunewright.serve.engine import CallPart, EngineError, Piece, Request, Sampling, Usage
from tunewright.serve.formats import calls_ok

CITY = {"type": "object", "properties": {"city": {"enum": ["Oslo", "Rome"]}}, "required": ["city"], "additionalProperties": False}
TOOLS: tuple[dict[str, Any], ...] = (
    {"type": "function", "function": {"name": "weather", "description": "of a city", "parameters": CITY}},
    {"type": "function", "function": {"name": "now"}},
)
OSLO = '{"name": "weather", "arguments": {"city": "Oslo"}}'


def said(text: str, sizes: Sequence[int] = (1,), finish: Any = "stop") -> tuple[str, list[tuple[str, str]], str | None]:
    """What comes out when a model writes `text` in pieces of these sizes: text, calls, finish."""
    reader, found, at, turn = Calls(["weather", "now"]), [], 0, 0
    while at < len(text):
        size = sizes[turn % len(sizes)]
        found += list(reader.take(Piece(text[at : at + size])))
        at, turn = at + size, turn + 1
    found += list(reader.take(Piece("", finish=finish, usage=Usage(1, 1))))
    calls = [(one.name or "", one.arguments) for piece in found for one in piece.calls]
    return "".join(one.text for one in found), calls, found[-1].finish


@pytest.mark.parametrize(
    ("text", "expected", "calls"),
    [
        ("It rains.", "It rains.", []),
        (f"<tool_call>{OSLO}</tool_call>", "", ["weather"]),
        (f"<tool_call>\n{OSLO}\n</tool_call>\n<tool_call>\n" + '{"name": "now", "arguments": {}}\n</tool_call>', "", ["weather", "now"]),
        (f"<tool_call>[{OSLO}, {OSLO}]</tool_call>", "", ["weather", "weather"]),
        (f"<tool_call>{OSLO}", "", ["weather"]),
        (f"Let me see. <tool_call>{OSLO}</tool_call>", "Let me see. ", ["weather"]),
        ('{"name": "weather", "parameters": {"city": "Rome"}}', "", ["weather"]),
        ('{"name": "weather", "arguments": "{\\"city\\": \\"Rome\\"}"}', "", ["weather"]),
        ('{"name": "Ann", "arguments": {}}', '{"name": "Ann", "arguments": {}}', []),
        ('{"city": "Oslo"}', '{"city": "Oslo"}', []),
        ("[1, 2]", "[1, 2]", []),
        ("<tool_call>weather in Oslo</tool_call>", "<tool_call>weather in Oslo</tool_call>", []),
        ("a < b, a <tool, <tool_ca", "a < b, a <tool, <tool_ca", []),
        ("", "", []),
    ],
)
@pytest.mark.parametrize("sizes", [(1,), (3, 7), (1000,)])
def test_calls_are_told_from_text_however_it_comes(text: str, expected: str, calls: list[str], sizes: tuple[int, ...]):
    found, read, finish = said(text, sizes)
    assert (found, [name for name, _ in read]) == (expected, calls)
    assert finish == ("tool_calls" if calls else "stop")
    assert all(isinstance(json.loads(arguments), dict) for _, arguments in read)


@given(st.text(alphabet='<tool_call>{}[]":, name', max_size=80), st.lists(st.integers(1, 9), min_size=1, max_size=5))
def test_no_text_is_lost_and_pieces_make_no_difference(text: str, sizes: list[int]):
    whole = said(text, (1000,))
    assert said(text, sizes) == whole
    if not whole[1]:
        assert whole[0] == text


def test_a_call_that_was_cut_stays_text_and_says_so():
    assert said(OSLO[:20], finish="length") == (OSLO[:20], [], "length")


def test_plain_text_is_not_held_back():
    reader = Calls(["weather"])
    assert [one.text for one in reader.take(Piece("It rains, "))] == ["It rains, "]
    assert [one.text for one in reader.take(Piece("so <tool"))] == ["so "]
    assert [one.text for one in reader.take(Piece("s> help"))] == ["<tools> help"]


def test_definitions_of_a_tool_go_to_the_root_of_the_schema_and_must_agree():
    def tool(name: str, kind: str) -> dict[str, Any]:
        parameters = {"type": "object", "properties": {"a": {"$ref": "#/$defs/A"}}, "$defs": {"A": {"type": kind}}}
        return {"type": "function", "function": {"name": name, "parameters": parameters}}

    made = schema_of([tool("one", "string"), tool("two", "string")], ["one", "two"])
    assert made["$defs"] == {"A": {"type": "string"}}
    assert [one["properties"]["name"] for one in made["anyOf"]] == [{"const": "one"}, {"const": "two"}]
    with pytest.raises(EngineError, match="two of them define 'A' differently"):
        schema_of([tool("one", "string"), tool("two", "integer")], ["one", "two"])


def test_calls_are_held_against_the_tools_own_schemas():
    assert calls_ok(TOOLS, [("weather", '{"city": "Oslo"}'), ("now", "{}")])
    assert not calls_ok(TOOLS, [("weather", '{"city": "Paris"}')])
    assert not calls_ok(TOOLS, [("wheather", '{"city": "Oslo"}')])
    assert not calls_ok(TOOLS, [])
    assert read_calls(f"<tool_call>{OSLO}</tool_call>", frozenset())[1][0].name == "weather"


@pytest.fixture(scope="module")
def tuned(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return release(tmp_path_factory.mktemp("calls") / "lora", base, "lora")


@pytest.fixture(scope="module")
def server(tuned: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    folder = tmp_path_factory.mktemp("server")
    keep = "serve.traffic.keep=text"
    with served(create_app(setup_of(folder, tuned, "serve.engine={name: embedded, threads: 1}", keep))) as url:
        yield url, folder


def wanted(*required: str, seed: int = 1) -> Request:
    return Request("m", messages=USER, tools=TOOLS, required=required, sampling=Sampling(max_tokens=90, seed=seed))


def whole(found: list[Piece]) -> list[tuple[str | None, str]]:
    calls: dict[int, CallPart] = {}
    for part in (part for piece in found for part in piece.calls):
        before = calls.get(part.index)
        calls[part.index] = part if before is None else CallPart(part.index, before.arguments + part.arguments, before.id, before.name)
    return [(one.name, one.arguments) for one in calls.values()]


def test_a_model_that_knows_nothing_calls_what_is_required_here_and_through_an_upstream(tuned: Path, server: tuple[str, Path]):
    async def test():
        async with engine({"m": tuned}) as own, upstream(server[0], {"m": tuned}, models={"m": "lora"}) as far:
            return [(await pieces(one, wanted("weather")), await pieces(one, wanted("weather", "now", seed=5))) for one in (own, far)]

    for named, either in run(test):
        ((name, arguments),) = whole(named)
        assert (name, named[-1].finish) == ("weather", "tool_calls")
        assert json.loads(arguments)["city"] in ("Oslo", "Rome")
        assert {name for name, _ in whole(either)} <= {"weather", "now"}


def test_openais_client_gets_calls_whole_and_streamed_and_the_log_keeps_them(server: tuple[str, Path]):
    url, folder = server
    client = openai.OpenAI(base_url=url, api_key="none", max_retries=0)
    body: Any = {"model": "lora", "messages": [{"role": "user", "content": "Will it rain?"}], "tools": list(TOOLS), "max_tokens": 90}
    choice: Any = {"type": "function", "function": {"name": "weather"}}
    told = client.chat.completions.create(**body, tool_choice=choice, seed=3).choices[0]
    assert (told.finish_reason, told.message.content) == ("tool_calls", None)
    (call,) = told.message.tool_calls or []
    assert call.id.startswith("call_")
    assert json.loads(call.function.arguments)["city"] in ("Oslo", "Rome")
    with client.chat.completions.stream(**body, tool_choice=choice, seed=3) as stream:
        final = stream.get_final_completion().choices[0]
    (again,) = final.message.tool_calls or []
    assert (again.function.name, again.function.arguments) == ("weather", call.function.arguments)
    free = client.chat.completions.create(**{**body, "max_tokens": 5}, tool_choice="auto", seed=3).choices[0]
    assert free.message.tool_calls is None
    turns = [*body["messages"], told.message.model_dump(exclude_none=True), {"role": "tool", "tool_call_id": call.id, "content": "yes"}]
    assert client.chat.completions.create(model="lora", messages=turns, max_tokens=5).choices[0].finish_reason in ("stop", "length")
    for wrong, words in (
        ({"tool_choice": "required", "tools": []}, "needs tools"),
        ({"tool_choice": {**choice, "function": {"name": "x"}}}, "not in tools"),
    ):
        with pytest.raises(openai.BadRequestError, match=words):
            client.chat.completions.create(**{**body, **wrong})
    rows = [one for one in exchanges(folder) if one["status"] == 200]
    kept = [one for one in rows if "tool_call" in (one["answer"] or "")]
    assert {one["format_ok"] for one in kept} == {True}
    assert len(kept) >= 2
    assert json.loads(kept[0]["answer"].removeprefix("<tool_call>").removesuffix("</tool_call>"))["name"] == "weather"
