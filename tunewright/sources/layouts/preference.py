"""A prompt with a better and a worse answer, as text or as turns; also LLaMA-Factory's `ranking` and ms-swift's `rejected_response`.

{"prompt": "Hi", "chosen": "Hello!", "rejected": "Go away."}   ->   text "Hi" | answer "Hello!" | rejected "Go away."
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

_SCHEMA = {"text": pl.String(), "answer": pl.String(), "rejected": pl.String(), "messages": pl.String()}


class Preference(Layout):
    """A prompt, the chosen and the rejected answer. Without a prompt column, chosen and rejected are whole chats."""

    usual: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "prompt": ("prompt", "instruction", "question", "query", "messages", "conversations", "conversation"),
        "input": ("input",),
        "chosen": ("chosen",),
        "rejected": ("rejected", "rejected_response", "rejected_messages"),
        "system": ("system", "system_prompt"),
    }
    needed: ClassVar[tuple[str, ...]] = ("rejected",)

    prompt: str | None = Field(None, description="column with the prompt, as text or turns")
    input: str | None = Field(None, description="column with what the prompt is about")
    chosen: str | None = Field(None, description="column with the better answer; without one it is the last turn of the prompt's chat")
    rejected: str | None = Field(None, description="column with the worse answer")
    system: str | None = Field(None, description="column with the system message")

    def detect(self, sample: Table, data: DataSettings) -> str | None:
        if self.rejected is None or (self.chosen is None and not (self.rejected != "rejected" and self.prompt)):
            return None
        names = [name for name in (self.chosen, self.rejected) if name]
        both = sample.frame.select(pl.all_horizontal(~blank(name) for name in names).sum()).item()
        shown = [name for name in (self.prompt, self.chosen, self.rejected) if name]
        return f"columns {', '.join(shown)}, {' and '.join(names)} filled {counted(both, len(sample.frame))}"

    def convert(self, table: Table, data: DataSettings) -> pl.DataFrame:
        given = present(self, table)
        if set(given) == {"prompt", "chosen", "rejected"} and not set(given.values()) & set(table.nested):
            return _of_texts(table, given)
        return by_row(table, given, _pair, _SCHEMA)


def _of_texts(table: Table, given: Mapping[str, str]) -> pl.DataFrame:
    frame = table.frame.select(text=given["prompt"], answer=given["chosen"], rejected=given["rejected"])
    reason = pl.when(blank("answer")).then(pl.lit("missing_answer")).when(blank("rejected")).then(pl.lit("missing_rejected"))
    empty = {key: pl.lit(f"column {given[key]!r} is empty") for key in ("chosen", "rejected")}
    detail = pl.when(blank("answer")).then(empty["chosen"]).when(blank("rejected")).then(empty["rejected"])
    return frame.with_columns(reason.alias(REASON), detail.alias(DETAIL))


def _pair(row: dict[str, str | None], nested: dict[str, bool]) -> dict[str, Any]:
    before = chat.turns(row["prompt"], nested["prompt"], "user", row.get("input")) if row.get("prompt") else []
    if row.get("system") and not (before and before[0]["role"] == "system"):
        before = [{"role": "system", "content": row["system"]}, *before]
    if "chosen" in row:
        chosen = chat.turns(row["chosen"], nested["chosen"], "assistant")
    else:
        before, chosen = before[:-1], before[-1:]
    rejected = chat.turns(row["rejected"], nested["rejected"], "assistant")
    if not before and len(chosen) > 1:  # whole chats: what both share is the prompt
        shared = next((at for at, (a, b) in enumerate(zip(chosen, rejected, strict=False)) if a != b), min(len(chosen), len(rejected)) - 1)
        before, chosen, rejected = chosen[:shared], chosen[shared:], rejected[shared:]
    for word, turns in (("missing_answer", chosen), ("missing_rejected", rejected)):
        if not chat.said(turns).strip():
            raise chat.NotAChat(word, "the chosen answer is empty" if word == "missing_answer" else "the rejected answer is empty")
    return {
        "text": chat.said(before),
        "answer": chat.said(chosen),
        "rejected": chat.said(rejected),
        "messages": chat.dumped(before + chosen),
    }
