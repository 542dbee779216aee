"""Edit what people wrote, wherever a row keeps it: text, answer, rejected answer, and every turn of a chat.

    edited(rows, fix)      `fix(texts, row_ids)` gives each text back as it should be

`text` and `answer` of a chat repeat what its `messages` say: the messages are edited, and both are taken from them again. Only
chats in which something is to be edited are opened. Roles, names and ids stay; arguments of tool calls are edited value by value.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import polars as pl

from tunewright.sources import chat

Fix = Callable[[pl.Series, pl.Series], pl.Series]
WRITTEN = ("text", "answer", "rejected")
_NOT_WRITTEN = frozenset(("role", "type", "id", "tool_call_id", "name", "weight"))
_ENDS_WITH_ANSWER = r'"role":"assistant"[^{}]*\}\]$'


def edited(rows: pl.DataFrame, fix: Fix) -> pl.DataFrame:
    """`rows` with `fix` applied to all that people wrote."""
    new = rows.with_columns(fix(rows[name], rows["row_id"]).alias(name) for name in WRITTEN if name in rows.columns)
    return new if "messages" not in rows.columns else _chats(rows, new, fix)


def differs(before: pl.DataFrame, after: pl.DataFrame) -> pl.Series:
    """True for each row in which something that people wrote is not what it was. Both frames have the same rows."""
    names = [name for name in (*WRITTEN, "messages") if name in before.columns]
    wrong = [before[name].ne_missing(after[name]).alias(name) for name in names]
    return pl.DataFrame(wrong).select(pl.any_horizontal(pl.all())).to_series()


def _chats(rows: pl.DataFrame, new: pl.DataFrame, fix: Fix) -> pl.DataFrame:
    """Edit the messages of chats that need it and take text and answer from them again."""
    talk = rows["messages"]
    open_ = (differs(rows, new) | ~talk.str.contains(_ENDS_WITH_ANSWER)) & talk.is_not_null()
    places = open_.fill_null(False).arg_true()
    if places.is_empty():
        return new
    some = rows[places]
    chats = [_parsed(one) for one in some["messages"].to_list()]
    leaves: list[tuple[str, str]] = []  # (row id, text)
    for row, messages in zip(some["row_id"], chats, strict=True):
        _walk(messages, lambda text, row=row: leaves.append((row, text)) or text)  # type: ignore[misc,func-returns-value]
    fixed = fix(pl.Series([text for _, text in leaves], dtype=pl.String), pl.Series([row for row, _ in leaves], dtype=pl.String))
    given = iter(fixed.to_list())
    answers = some["answer"].to_list() if "answer" in some.columns else [None] * len(some)
    done = [
        _rebuilt(messages, _walk(messages, lambda _: next(given)), text, answer)
        for messages, text, answer in zip(chats, some["text"], answers, strict=True)
    ]
    for name, column in zip(("messages", "text", "answer"), zip(*done, strict=True), strict=True):
        if name in new.columns:
            values = pl.Series(column, dtype=pl.String)
            kept = values.is_null() & new[name][places].is_not_null()
            new = new.with_columns(new[name].clone().scatter(places, values.zip_with(~kept, new[name][places])))
    return new


def _parsed(value: str) -> Any:
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        return None


def _rebuilt(before: Any, after: Any, text: str | None, answer: str | None) -> tuple[str | None, str | None, str | None]:
    """(messages, text, answer) as they are now; null where a value stays what the plain edit made of it."""
    if after == before or not isinstance(after, list):
        return (
            None,
            (text if after == before and before is not None else None),
            (answer if after == before and before is not None else None),
        )
    for cut in (index for index in range(len(before), -1, -1) if chat.said(before[:index]) == (text or "")):
        for end in range(len(before), cut - 1, -1):
            if chat.said(before[cut:end]) == (answer or ""):
                return chat.dumped(after), chat.said(after[:cut]), chat.said(after[cut:end])
    return chat.dumped(after), None, None


def _walk(value: Any, visit: Callable[[str], str]) -> Any:
    """`value` with every text that somebody wrote replaced by what `visit` returns."""
    if isinstance(value, str):
        return visit(value)
    if isinstance(value, list):
        return [_walk(one, visit) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        key: one if key in _NOT_WRITTEN else _arguments(one, visit) if key == "arguments" else _walk(one, visit)
        for key, one in value.items()
    }


def _arguments(value: Any, visit: Callable[[str], str]) -> Any:
    """Arguments of a tool call; JSON in a text stays JSON."""
    inner = _parsed(value) if isinstance(value, str) else None
    if not isinstance(inner, dict | list):
        return _walk(value, visit)
    after = _all_leaves(inner, visit)
    return value if after == inner else chat.dumped(after)


def _all_leaves(value: Any, visit: Callable[[str], str]) -> Any:
    """As `_walk`, but no key is a role or an id here."""
    if isinstance(value, dict):
        return {key: _all_leaves(one, visit) for key, one in value.items()}
    if isinstance(value, list):
        return [_all_leaves(one, visit) for one in value]
    return visit(value) if isinstance(value, str) else value
