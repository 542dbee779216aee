"""Chats in one form, whatever form they came in: OpenAI's messages, with text contents.

[{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello!"}]
  ->  messages [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}] | text "Hi" | answer "Hello!"
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

ROLES = {
    "system": "system",
    "developer": "system",  # OpenAI's newer name for the same turn; chat templates do not know it
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "function_call": "function_call",
    "tool_call": "function_call",
    "tool": "tool",
    "observation": "tool",
    "function": "tool",
    "tool_response": "tool",
    "ipython": "tool",
}
_KEPT = ("name", "weight", "tool_call_id")
Message = dict[str, Any]


class NotAChat(Exception):
    """Why a value is no chat: a reason slug and an explanation."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def parse(value: str | None) -> Any:
    """The JSON in a column's value."""
    if value is None:
        raise NotAChat("not_a_chat", "there is no value")
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise NotAChat("not_a_chat", f"not valid JSON ({error})") from error


def turns(value: str | None, nested: bool, role: str, more: str | None = None) -> list[Message]:
    """A column's value as messages: turns when it was a list or an object, else text that `role` speaks, and `more` of it."""
    if not nested:
        return [{"role": role, "content": "\n".join(one for one in (value, more) if one)}]
    found = parse(value)
    listed = found if isinstance(found, list) else [found]
    first = listed[0] if listed else None
    keys = ("from", "value") if isinstance(first, dict) and "from" in first else ("role", "content")
    return messages_of(listed, *keys)


def messages_of(turns: Any, role_key: str, content_key: str, roles: Mapping[str, str] = ROLES) -> list[Message]:
    """Turns as messages. Raises `NotAChat`."""
    if not isinstance(turns, list) or not turns:
        raise NotAChat("not_a_chat", f"a list of turns is needed, but got {_kind(turns)}")
    found: list[Message] = []
    for number, turn in enumerate(turns, start=1):
        if not isinstance(turn, dict):
            raise NotAChat("not_a_chat", f"turn {number} is {_kind(turn)}, not an object with {role_key} and {content_key}")
        word = turn.get(role_key)
        role = roles.get(word) if isinstance(word, str) else None
        if role is None:
            raise NotAChat("unknown_role", f"turn {number} has the {role_key} {word!r}; known are {', '.join(roles)}")
        found.append(
            _function_call(turn.get(content_key), number) if role == "function_call" else _message(turn, role, content_key, number)
        )
    return found


def _message(turn: dict[str, Any], role: str, content_key: str, number: int) -> Message:
    calls = turn.get("tool_calls") or ([{"type": "function", "function": turn["function_call"]}] if turn.get("function_call") else None)
    content = turn.get(content_key)
    if content is None and not calls:
        raise NotAChat("no_content", f"turn {number} ({role}) has no {content_key}")
    message: Message = {"role": role, "content": _text(content, number)}
    message |= {key: turn[key] for key in _KEPT if turn.get(key) is not None}
    return message | {"tool_calls": calls} if calls else message


def _text(content: Any, number: int) -> str | None:
    """A content that is text, or parts that all are; a chat model's text is the parts one after the other."""
    if content is None or isinstance(content, str):
        return content
    if isinstance(content, bool | int | float):
        return orjson.dumps(content).decode()
    parts = content if isinstance(content, list) else [content]
    found = []
    for part in parts:
        text = (
            part
            if isinstance(part, str)
            else part.get("text")
            if isinstance(part, dict) and part.get("type", "text") in ("text", "input_text", "output_text")
            else None
        )
        if not isinstance(text, str):
            shown = part.get("type") if isinstance(part, dict) else _kind(part)
            raise NotAChat("not_text", f"turn {number} holds a part that is not text ({shown})")
        found.append(text)
    return "".join(found)


def _function_call(value: Any, number: int) -> Message:
    """ShareGPT's function_call turn: JSON with a name and arguments, or a list of such."""
    try:
        calls = orjson.loads(value) if isinstance(value, str) else value
    except orjson.JSONDecodeError as error:
        raise NotAChat("bad_tool_call", f"turn {number} is a function call that is not JSON ({error})") from error
    calls = calls if isinstance(calls, list) else [calls]
    if not all(isinstance(call, dict) and isinstance(call.get("name"), str) for call in calls) or not calls:
        raise NotAChat("bad_tool_call", f"turn {number} is a function call without a name")
    functions = [{"name": call["name"], "arguments": call.get("arguments", {})} for call in calls]
    return {"role": "assistant", "content": None, "tool_calls": [{"type": "function", "function": one} for one in functions]}


def spoken(message: Message) -> str:
    """What a message says: its content, and its tool calls as JSON."""
    calls = message.get("tool_calls")
    said = message.get("content") or ""
    return said + (("\n" if said else "") + orjson.dumps(calls).decode() if calls else "")


def split(messages: list[Message]) -> tuple[str, str]:
    """(all that is said before the last assistant turn, that turn). Raises `NotAChat` when there is none."""
    last = max((index for index, one in enumerate(messages) if one["role"] == "assistant"), default=None)
    if last is None:
        raise NotAChat("missing_answer", "no turn is the assistant's")
    answer = spoken(messages[last])
    if not answer.strip():
        raise NotAChat("missing_answer", "the last turn of the assistant is empty")
    return said(messages[:last]), answer


def said(messages: list[Message]) -> str:
    """The contents of messages, one after the other."""
    return "\n\n".join(map(spoken, messages))


def dumped(value: Any) -> str:
    """JSON as it is stored in columns."""
    return orjson.dumps(value).decode()


def tools_of(value: str | None) -> str | None:
    """A column's tools as a JSON list; null when there are none. Raises `NotAChat`."""
    if value is None or not value.strip():
        return None
    try:
        found = orjson.loads(value)
        found = orjson.loads(found) if isinstance(found, str) else found
    except orjson.JSONDecodeError as error:
        raise NotAChat("bad_tools", f"tools are not valid JSON ({error})") from error
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise NotAChat("bad_tools", f"tools must be a list of objects, but got {_kind(found)}")
    return dumped(found) if found else None


def _kind(value: Any) -> str:
    names = {
        dict: "an object",
        list: "a list",
        str: "text",
        type(None): "nothing",
        bool: "true or false",
        int: "a number",
        float: "a number",
    }
    return "an empty list" if value == [] else names.get(type(value), type(value).__name__)
