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
from tunewright.sources.layout import DETAIL, REASON, Layout, blank, by_row, counted, present
from tunewright.sources.table import Table


class PromptCompletion(Layout):
    """A prompt and its completion."""

    usual: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "prompt": ("prompt", "question", "query", "input"),
        "completion": ("completion", "response", "answer", "output"),
    }
    needed: ClassVar[tuple[str, ...]] = ("prompt", "completion")

    prompt: str | None = Field(None, description="column with the prompt")
    completion: str | None = Field(None, description="column with the completion")

    def detect(self, sample: Table, data: DataSettings) -> str | None:
        if self.prompt is None or self.completion is None or {"chosen", "rejected"} & set(sample.frame.columns):
            return None
        if self.prompt == "input" and "instruction" in sample.frame.columns:
            return None
        both = (~blank(self.prompt) & ~blank(self.completion)).sum()
        return f"columns {self.prompt} and {self.completion}, both filled {counted(sample.frame.select(both).item(), len(sample.frame))}"

    def convert(self, table: Table, data: DataSettings) -> pl.DataFrame:
        prompt, completion = str(self.prompt), str(self.completion)
        if prompt in table.nested or completion in table.nested:
            schema = {"text": pl.String(), "answer": pl.String(), "messages": pl.String()}
            return by_row(table, present(self, table), _of_turns, schema)
        empty = pl.when(blank("answer")).then(pl.lit("missing_answer"))
        why = pl.when(blank("answer")).then(pl.lit(f"column {completion!r} is empty"))
        frame = pl.DataFrame({"text": table.frame[prompt], "answer": table.frame[completion]})
        return frame.with_columns(empty.alias(REASON), why.alias(DETAIL))


def _of_turns(row: dict[str, str | None], nested: dict[str, bool]) -> dict[str, Any]:
    messages = [turn for key, role in (("prompt", "user"), ("completion", "assistant")) for turn in chat.turns(row[key], nested[key], role)]
    text, answer = chat.split(messages)
    return {"text": text, "answer": answer, "messages": chat.dumped(messages)}
