"""Calls of tools in what a model writes: as text in tags, as most chat templates teach it, or as JSON alone.

<tool_call>{"name": "weather", "arguments": {"city": "Oslo"}}</tool_call>      Hermes, Qwen; SmolLM writes a list between the tags
{"name": "weather", "parameters": {"city": "Oslo"}}                            Llama

What is no call that can be read stays text. When a call is required, the answer is held to the tool's own JSON schema token by token.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tunewright.serve.engine import CallPart, EngineError, Piece

OPEN = "<tool_call>"
BLOCK = re.compile(r"<tool_call>\s*(.*?)\s*(?:</tool_call>|$)", re.DOTALL)


def schema_of(tools: Sequence[Mapping[str, Any]], required: Sequence[str]) -> dict[str, Any]:
    """The JSON schema of a call of one of the `required` tools. Raises `EngineError` 400 when their definitions do not go together."""
    known: dict[str, Any] = {}
    calls = []
    for one in (tool["function"] for tool in tools):
        if one["name"] not in required:
            continue
        arguments = dict(one.get("parameters") or {"type": "object"})
        for kind in ("$defs", "definitions"):  # `#/$defs/...` is looked for at the root
            for name, definition in arguments.pop(kind, {}).items():
                if known.setdefault(kind, {}).setdefault(name, definition) != definition:
                    raise EngineError(f"tools: two of them define {name!r} differently. Rename one.", 400, "invalid_value")
        fields = {"name": {"const": one["name"]}, "arguments": arguments}
        calls.append({"type": "object", "properties": fields, "required": ["name", "arguments"], "additionalProperties": False})
    return {"anyOf": calls, **known}


class Calls:
    """Turns the pieces of one answer into text and calls. Text that may be the beginning of a call is held back."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = frozenset(names)
        self._held, self._begun = "", False

    def take(self, piece: Piece) -> Iterator[Piece]:
        """What can be told after `piece`; the last one tells the rest."""
        self._held += piece.text
        if piece.finish is not None:
            text, calls = read_calls(self._held, self._names)
            finish = "tool_calls" if calls and piece.finish == "stop" else piece.finish
            yield replace(piece, text=text, calls=calls, finish=finish)
            return
        free = self._free()
        text, self._held = self._held[:free], self._held[free:]
        self._begun = self._begun or bool(text)
        if text or piece.tokens:
            yield replace(piece, text=text)

    def _free(self) -> int:
        """How much of what is held can be no part of a call."""
        if not self._begun and self._held.lstrip()[:1] in ("", "{", "["):
            return 0
        start = self._held.find(OPEN)
        if start >= 0:
            return start
        tails = (size for size in range(min(len(OPEN) - 1, len(self._held)), 0, -1) if OPEN.startswith(self._held[-size:]))
        return len(self._held) - next(tails, 0)


def read_calls(text: str, names: frozenset[str]) -> tuple[str, tuple[CallPart, ...]]:
    """The text beside the calls, and the calls; all of it as text when one of them cannot be read."""
    blocks = BLOCK.findall(text)
    found = [_read(one) for one in blocks or [text]]
    if any(one is None for one in found):
        return text, ()
    calls = [call for one in found if one is not None for call in one]
    if not blocks and not all(name in names for name, _ in calls):
        return text, ()  # JSON that happens to look like a call
    parts = tuple(CallPart(index, arguments, f"call_{secrets.token_hex(12)}", name) for index, (name, arguments) in enumerate(calls))
    return BLOCK.sub("", text).strip() if blocks else "", parts


def _read(block: str) -> list[tuple[str, str]] | None:
    """(name, arguments as JSON) of one call or of a list of them; None when that is something else."""
    try:
        value = json.loads(block)
    except ValueError:
        return None
    found = []
    for one in value if isinstance(value, list) else [value]:
        arguments = one.get("arguments", one.get("parameters")) if isinstance(one, dict) else None
        if isinstance(arguments, str):
            try:
                arguments = json.loads(arguments)
            except ValueError:
                return None
        if not isinstance(arguments, dict) or not isinstance(one.get("name"), str):
            return None
        found.append((one["name"], json.dumps(arguments, ensure_ascii=False)))
    return found or None
