"""Chats that a template renders wrong, refuses, or learns nothing from. Each finding names the turn and the reason.

Reasons: not_json, not_a_chat, unknown_role, system_not_first, same_role_twice, starts_with_assistant, empty_turn, no_assistant,
ends_without_answer, result_without_call, call_without_result, call_without_name, arguments_not_json, unknown_tool, wrong_arguments,
bad_weight, nothing_learnt.
"""

from __future__ import annotations

from typing import ClassVar

import polars as pl
from pydantic import Field

from tunewright.core.parts import Check, Look
from tunewright.text.chats import PLAIN, faults

FEWEST = 5  # faults of one chat that are named


class BrokenChat(Check):
    """Roles unknown or out of order, empty turns, tool calls that do not fit their tools, or nothing to learn."""

    needs: ClassVar[tuple[str, ...]] = ("messages",)
    leave: list[str] = Field([], description="reasons that do not matter here, for example starts_with_assistant")

    def measure(self, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        tools = pl.col("tools").cast(pl.String) if "tools" in rows.columns else pl.lit(None, pl.String)
        odd = rows.select("row_id", "messages", tools=tools).filter(~pl.col("messages").str.contains(PLAIN).fill_null(False))
        found = [
            (row_id, turn, reason, detail)
            for row_id, messages, declared in odd.filter(pl.col("messages").is_not_null()).iter_rows()
            for turn, reason, detail in faults(messages, declared)[:FEWEST]
        ]
        return pl.DataFrame(found, schema={"row_id": pl.String, "turn": pl.Int64, "reason": pl.String, "detail": pl.String}, orient="row")

    def decide(self, measures: pl.DataFrame, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        return measures.filter(~pl.col("reason").is_in(self.leave)).select(
            "row_id",
            field=pl.lit("messages"),
            evidence=pl.format("turn {}: {}: {}", "turn", "reason", "detail"),
            suggested_fix=pl.lit("mend the chat or drop the row"),
        )
