"""What is wrong with a chat: roles, their order, empty turns, tool calls, weights.

    faults('[{"role":"user","content":"Hi"},{"role":"user","content":"Hello?"}]', None)
    ->  [(2, "same_role_twice", "user after user"), (2, "no_assistant", "there is nothing to learn")]

A fault is (turn counted from 1, reason, detail). `plain` is a regular expression for chats that need no further look: perhaps a
system turn, then user and assistant by turns, none empty, nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import orjson

from tunewright.core.optional import require

Fault = tuple[int, str, str]
ROLES = ("system", "developer", "user", "assistant", "tool")
_SAID = r'"(?:\\[^u]|[ \t])*(?:[^"\\\s]|\\u)(?:[^"\\]|\\.)*"'


def _turn(role: str) -> str:
    return rf'\{{"role": ?"{role}", ?"content": ?{_SAID}\}}'


_PAIR = rf"{_turn('user')}, ?{_turn('assistant')}"
PLAIN = rf"(?s-u:^\[(?:{_turn('system')}, ?)?{_PAIR}(?:, ?{_PAIR})*\]$)".replace("(?s-u:", "(?s:")


def faults(messages: str | None, tools: str | None) -> list[Fault]:
    """Everything wrong with one chat, in order of turns. Both arguments are JSON lists in OpenAI's form."""
    try:
        turns = orjson.loads(messages or "")
    except orjson.JSONDecodeError as error:
        return [(1, "not_json", f"the messages are no JSON ({error})")]
    if not isinstance(turns, list) or not turns or not all(isinstance(one, dict) for one in turns):
        return [(1, "not_a_chat", "the messages are no list of objects")]
    found = [*_order(turns), *_calls(turns, tools), *_weights(turns)]
    return sorted(found, key=lambda one: one[0])


def _order(turns: list[dict[str, Any]]) -> Iterator[Fault]:
    before, asked = None, False
    for number, turn in enumerate(turns, start=1):
        role = turn.get("role")
        if role not in ROLES:
            yield number, "unknown_role", f"{role!r}"
        if role in ("system", "developer") and number > 1 and before not in ("system", "developer"):
            yield number, "system_not_first", f"after {before}"
        if role == before and role in ("user", "assistant"):
            yield number, "same_role_twice", f"{role} after {role}"
        if role == "assistant" and before != "assistant" and not asked:
            yield number, "starts_with_assistant", "no user spoke before"
        if not turn.get("tool_calls") and not _said(turn.get("content")):
            yield number, "empty_turn", str(role)
        before, asked = role, asked or role == "user"
    if not any(turn.get("role") == "assistant" for turn in turns):
        yield len(turns), "no_assistant", "there is nothing to learn"
    elif before != "assistant":
        yield len(turns), "ends_without_answer", f"the last turn is {before}'s"


def _said(content: Any) -> bool:
    """Whether a content says anything: text, or parts of which one does."""
    if isinstance(content, list):
        return any(_said(part.get("text", part.get("type")) if isinstance(part, dict) else part) for part in content)
    return bool(content.strip()) if isinstance(content, str) else content is not None


def _calls(turns: list[dict[str, Any]], tools: str | None) -> Iterator[Fault]:
    waiting: dict[str, int] = {}
    for number, turn in enumerate(turns, start=1):
        role = turn.get("role")
        if role == "tool":
            given = turn.get("tool_call_id")
            answered = str(given) if given is not None else next(iter(waiting), None)
            if answered not in waiting:
                yield number, "result_without_call", f"nobody called {given!r}" if given is not None else "no call came before"
            waiting.pop(str(answered), None)
            continue
        for name, called in waiting.items():
            yield called, "call_without_result", f"call {name} was never answered"
        waiting = {}
        calls = turn.get("tool_calls")
        for place, call in enumerate(calls if isinstance(calls, list) else []):
            waiting[str(call.get("id", f"{number}.{place + 1}") if isinstance(call, dict) else place)] = number
            fault = _call(call, tools)
            if fault:
                yield number, *fault
    # A call at the very end is what the model has to learn: it waits for no result.
    last = len(turns)
    for name, called in waiting.items():
        if called != last:
            yield called, "call_without_result", f"call {name} was never answered"


def _call(call: Any, tools: str | None) -> tuple[str, str] | None:
    """What is wrong with one tool call."""
    function = call.get("function", call) if isinstance(call, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    if not isinstance(function, dict) or not isinstance(name, str) or not name:
        return "call_without_name", "a tool call names no function"
    arguments = function.get("arguments", {})
    if isinstance(arguments, str):
        try:
            arguments = orjson.loads(arguments or "{}")
        except orjson.JSONDecodeError as error:
            return "arguments_not_json", f"{name}: {error}"
    if not isinstance(arguments, dict):
        return "arguments_not_json", f"{name}: the arguments are no object"
    known = _schemas(tools) if tools else None
    if known is None:
        return None
    if name not in known:
        return "unknown_tool", f"{name}; declared are {', '.join(known) or 'none'}"
    problem = next(iter(known[name].iter_errors(arguments)), None) if known[name] is not None else None
    return ("wrong_arguments", f"{name}: {problem.message}") if problem else None


@lru_cache(maxsize=1024)
def _schemas(tools: str) -> dict[str, Any] | None:
    """A validator (None: anything goes) for each declared tool; None when the declarations cannot be read."""
    try:
        declared = orjson.loads(tools)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(declared, list):
        return None
    jsonschema, known = require("jsonschema", "audit"), {}
    for one in declared:
        function = one.get("function", one) if isinstance(one, dict) else {}
        schema = function.get("parameters")
        try:
            jsonschema.Draft202012Validator.check_schema(schema)
        except jsonschema.SchemaError:
            schema = None
        known[str(function.get("name"))] = jsonschema.Draft202012Validator(schema) if isinstance(schema, dict) else None
    return known


def _weights(turns: list[dict[str, Any]]) -> Iterator[Fault]:
    weights = [(number, turn.get("weight")) for number, turn in enumerate(turns, start=1) if turn.get("role") == "assistant"]
    for number, weight in weights:
        if weight is not None and (isinstance(weight, bool) or weight not in (0, 1)):
            yield number, "bad_weight", f"{weight!r} is neither 0 nor 1"
    if weights and all(weight == 0 for _, weight in weights):
        yield weights[-1][0], "nothing_learnt", "every answer has the weight 0"
