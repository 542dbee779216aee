"""A prompt and what should come after it: free text, or turns of a chat.

{"prompt": "Write a subject for: ...", "completion": "Meeting on Friday"}   ->   text "Write a ..." | answer "Meeting on Friday"
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import polars as pl
from pydantic import Field

from tunewright.core.recipe import DataSettings
from tunewright.sources import chat
from tunewright.sources.layout import DETAIL, REASON, Layout, blank, by_row, counted
from tunewright.sources.table import Table


class PromptCompletion(Layout):
    """A prompt and its completion."""

    usual: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "prompt": ("prompt", "question", "query"),
        "completion": ("completion", "response", "answer"),
    }
    needed: ClassVar[tuple[str, ...]] = ("prompt", "completion")

    prompt: str | None = Field(None, description="column with the prompt")
    completion: str | None = Field(None, description="column with the completion")

    def detect(self, sample: Table, data: DataSettings) -> str | None:
        if self.prompt is None or self.completion is None or {"chosen", "rejected"} & set(sample.frame.columns):
            return None
        both = (~blank(self.prompt) & ~blank(self.completion)).sum()
        return f"columns {self.prompt} and {self.completion}, both filled {counted(sample.frame.select(both).item(), len(sample.frame))}"

    def convert(self, table: Table, data: DataSettings) -> pl.DataFrame:
        prompt, completion = str(self.prompt), str(self.completion)
        if prompt in table.nested or completion in table.nested:
            schema = {"text": pl.String(), "answer": pl.String(), "messages": pl.String()}
            return by_row(_flagged(table, prompt, completion), [prompt, completion, "__a", "__b"], _of_turns, schema)
        empty = pl.when(blank("answer")).then(pl.lit("missing_answer"))
        why = pl.when(blank("answer")).then(pl.lit(f"column {completion!r} is empty"))
        frame = pl.DataFrame({"text": table.frame[prompt], "answer": table.frame[completion]})
        return frame.with_columns(empty.alias(REASON), why.alias(DETAIL))


def _flagged(table: Table, *columns: str) -> Table:
    """The table with a column for each of `columns` that says (as text) whether its values were lists or objects."""
    none = pl.repeat(False, len(table.lines), dtype=pl.Boolean, eager=True)
    flags = [table.nested.get(name, none).cast(pl.String).alias(flag) for name, flag in zip(columns, ("__a", "__b", "__c"), strict=False)]
    return Table(table.frame.with_columns(flags), table.lines, table.bad, table.nested)


def turns(value: str | None, is_nested: str | None, role: str) -> list[chat.Message]:
    """A value as messages: a list of turns, or text that `role` speaks."""
    if is_nested == "true":
        found = chat.parse(value)
        return chat.messages_of(found if isinstance(found, list) else [found], *keys_of(found))
    return [{"role": role, "content": value or ""}]


def keys_of(found: Any) -> tuple[str, str]:
    """The keys that turns use: role and content, or from and value."""
    first = found[0] if isinstance(found, list) and found else found
    return ("from", "value") if isinstance(first, dict) and "from" in first else ("role", "content")


def _of_turns(prompt: str | None, completion: str | None, prompt_nested: str, completion_nested: str) -> dict[str, Any]:
    try:
        messages = turns(prompt, prompt_nested, "user") + turns(completion, completion_nested, "assistant")
        text, answer = chat.split(messages)
        return {"text": text, "answer": answer, "messages": chat.dumped(messages)}
    except chat.NotAChat as error:
        return {"text": prompt, REASON: error.reason, DETAIL: str(error)}
