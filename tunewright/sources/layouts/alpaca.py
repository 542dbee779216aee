"""Instructions as Alpaca writes them, with the `history` and `system` of LLaMA-Factory.

{"instruction": "Translate", "input": "Guten Tag", "output": "Good day"}   ->   text "Translate\\nGuten Tag" | answer "Good day"
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


class Alpaca(Layout):
    """An instruction, perhaps an input, and the output; a history of earlier (instruction, output) pairs; a system message."""

    usual: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "instruction": ("instruction",),
        "input": ("input", "context"),
        "output": ("output", "response"),
        "history": ("history",),
        "system": ("system", "system_prompt"),
    }
    needed: ClassVar[tuple[str, ...]] = ("instruction", "output")

    instruction: str | None = Field(None, description="column with the instruction")
    input: str | None = Field(None, description="column with what the instruction is about")
    output: str | None = Field(None, description="column with the answer")
    history: str | None = Field(None, description="column with a list of earlier [instruction, output] pairs")
    system: str | None = Field(None, description="column with the system message")

    def detect(self, sample: Table, data: DataSettings) -> str | None:
        if self.instruction is None or self.output is None or {"chosen", "rejected"} & set(sample.frame.columns):
            return None
        filled = sample.frame.select((pl.col(self.instruction).is_not_null() & pl.col(self.output).is_not_null()).sum()).item()
        shown = [name for name in (self.instruction, self.input, self.output, self.history, self.system) if name]
        return f"columns {', '.join(shown)}, {self.instruction} and {self.output} filled {counted(filled, len(sample.frame))}"

    def convert(self, table: Table, data: DataSettings) -> pl.DataFrame:
        return by_row(table, present(self, table), _of_fields, {"text": pl.String(), "answer": pl.String(), "messages": pl.String()})


def _of_fields(row: dict[str, str | None], nested: dict[str, bool]) -> dict[str, Any]:
    messages = _messages(row)
    text, answer = chat.split(messages)
    return {"text": text, "answer": answer, "messages": chat.dumped(messages)}


def _messages(row: Mapping[str, str | None]) -> list[chat.Message]:
    messages: list[chat.Message] = [{"role": "system", "content": row["system"]}] if row.get("system") else []
    history = row.get("history")
    for pair in chat.parse(history) or [] if history else []:
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(one, str) for one in pair):
            raise chat.NotAChat("bad_history", "history must be a list of [instruction, output] pairs of text")
        messages += [{"role": "user", "content": pair[0]}, {"role": "assistant", "content": pair[1]}]
    asked = "\n".join(one for one in (row.get("instruction"), row.get("input")) if one)
    return [*messages, {"role": "user", "content": asked}, {"role": "assistant", "content": row.get("output") or ""}]
