"""The few words of Go's text/template that our Modelfiles use: if/else if/else, eq, range, .System, .Role, .Content, a quoted string."""

from __future__ import annotations

import re
from typing import Any

Data = dict[str, Any]
_TOKEN = re.compile(r'\{\{ ?("\{\{"|.*?) ?\}\}', re.DOTALL)


def render(template: str, turns: list[tuple[str, str]]) -> str:
    """What Ollama makes of `turns`: .System is the system message, .Messages all turns."""
    words = _TOKEN.split(template)  # text, action, text, action, ..., text
    system = "\n\n".join(content for role, content in turns if role == "system")
    data = {"System": system, "Messages": [{"Role": role, "Content": content} for role, content in turns]}
    text, place = _block(words, 0, data)
    assert place == len(words), "an end without a beginning"
    return text


def _block(words: list[str], place: int, data: Data) -> tuple[str, int]:
    """The text of `words` from `place` (a text) to the action that ends the block, and where that stands."""
    out = words[place]
    place += 1
    while place < len(words) and not words[place].startswith(("else", "end")):
        action = words[place]
        if action.startswith("range "):
            made = [_block(words, place + 1, data | one) for one in data[action.removeprefix("range .")]]
            out += "".join(text for text, _ in made)
            place = made[0][1]
        elif action.startswith("if "):
            taken = False
            while words[place] != "end":
                condition = words[place].removeprefix("else").removeprefix("if ").strip().removeprefix("if ")
                text, after = _block(words, place + 1, data)
                if not taken and _true(condition, data):
                    out, taken = out + text, True
                place = after
        else:
            out += action[1:-1] if action.startswith('"') else str(data[action.removeprefix(".")])
        out += words[place + 1]
        place += 2
    return out, place


def _true(condition: str, data: Data) -> bool:
    equal = re.fullmatch(r'eq \.(\w+) "(\w+)"', condition)
    if equal:
        return bool(data[equal[1]] == equal[2])
    return condition == "" or bool(data[condition.removeprefix(".")])
