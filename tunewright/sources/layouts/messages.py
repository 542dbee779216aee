"""Chats as OpenAI writes them, with `tools`, tool calls, a `weight` for each message (0: not to be learnt), contents in text parts.

{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!", "weight": 1}]}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import polars as pl
from pydantic import Field

from tunewright.core.recipe import DataSettings
from tunewright.sources import chat
from tunewright.sources.layout import Layout, by_row, counted, present
from tunewright.sources.table import Table


class Messages(Layout):
    """A chat as a list of {role, content}, OpenAI's form."""

    usual: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "messages": ("messages", "conversations", "conversation", "chat", "dialog"),
        "tools": ("tools", "functions"),
        "system": ("system", "system_prompt"),
    }
    needed: ClassVar[tuple[str, ...]] = ("messages",)

    messages: str | None = Field(None, description="column with the list of messages")
    tools: str | None = Field(None, description="column with the list of tools")
    system: str | None = Field(None, description="column with the system message, put before the others")
    role_key: str = Field("role", description="key of a turn that says who speaks")
    content_key: str = Field("content", description="key of a turn that holds what is said")

    def detect(self, sample: Table, data: DataSettings) -> str | None:
        if {"chosen", "rejected"} <= set(sample.frame.columns) or "rejected_response" in sample.frame.columns:
            return None
        return lists_of(sample, self.messages, self.role_key, self.content_key)

    def convert(self, table: Table, data: DataSettings) -> pl.DataFrame:
        given = present(self, table)
        schema = {"text": pl.String(), "answer": pl.String(), "messages": pl.String()} | (
            {"tools": pl.String()} if "tools" in given else {}
        )
        return by_row(table, given, self._of_fields, schema)

    def _of_fields(self, row: dict[str, str | None], nested: dict[str, bool]) -> dict[str, Any]:
        messages = self.read(row["messages"])
        if row.get("system") and messages[0]["role"] != "system":
            messages = [{"role": "system", "content": row["system"]}, *messages]
        text, answer = chat.split(messages)
        found = {"text": text, "answer": answer, "messages": chat.dumped(messages)}
        return found | {"tools": chat.tools_of(row["tools"])} if "tools" in row else found

    def read(self, value: str | None) -> list[chat.Message]:
        """The messages in a column's value."""
        return chat.messages_of(chat.parse(value), self.role_key, self.content_key)


def lists_of(sample: Table, column: str | None, role_key: str, content_key: str) -> str | None:
    """The evidence that most values of `column` are lists of {role_key, content_key}."""
    if column is None or column not in sample.frame.columns:
        return None
    values = sample.frame[column].to_list()
    fit = sum(_is_chat(value, role_key, content_key) for value in values)
    return f"column {column} holds lists of {{{role_key}, {content_key}}} {counted(fit, len(values))}" if 2 * fit > len(values) else None


def _is_chat(value: str | None, role_key: str, content_key: str) -> bool:
    try:
        turns = chat.parse(value)
    except chat.NotAChat:
        return False
    keys = {role_key, content_key}
    return (
        isinstance(turns, list)
        and bool(turns)
        and all(isinstance(one, dict) and (keys <= one.keys() or {role_key, "tool_calls"} <= one.keys()) for one in turns)
    )
