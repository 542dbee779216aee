"""Prompt and answer together beyond `model.max_length`: training cuts the end off, and the end is the answer.

Counted with the model's own tokenizer and chat template. A row of fewer bytes than `max_length` is never counted: a token is at least
one byte. Where more than `sample` rows could be too long, the longest are counted, and the finding says so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Literal

import orjson
import polars as pl
from pydantic import Field

from tunewright.audit.checks._shared import excerpt, rows_at
from tunewright.core.parts import Check, Look

FRAME = 64  # tokens that a template may put around a short conversation


class LongConversations(Check):
    """More tokens, prompt, answer and chat template together, than `model.max_length`; the end would be cut off."""

    needs: ClassVar[tuple[str, ...]] = ("answer",)
    scope: ClassVar[Literal["row", "all"]] = "all"
    measured_by: ClassVar[tuple[str, ...]] = ("sample",)
    sample: int = Field(20_000, ge=1, description="rows that are counted at most, the longest first")

    def measure(self, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        sizes = rows.select(_size(rows.columns)).to_series()
        return self._longest(lambda places: rows_at(rows, places), sizes, look)

    def measure_scan(self, rows: pl.LazyFrame, look: Look) -> pl.DataFrame:
        sizes = rows.select(_size(rows.collect_schema().names())).collect(engine="streaming").to_series()
        return self._longest(lambda places: rows_at(rows, places), sizes, look)

    def _longest(self, take: Callable[[pl.Series], pl.DataFrame], sizes: pl.Series, look: Look) -> pl.DataFrame:
        """The tokens of the `sample` longest rows of those that may be too long; `take` gives the rows at some places."""
        most = look.recipe.model.max_length
        maybe = pl.DataFrame({"size": sizes}).with_row_index("row").filter(pl.col("size") + FRAME > most)
        longest = maybe.sort("size", descending=True, maintain_order=True).head(self.sample)
        if longest.is_empty():
            return pl.DataFrame()
        said = [pl.col(name).fill_null("").cast(pl.String) for name in ("text", "answer")]
        counted = longest.join(take(longest["row"]).with_columns(said), on="row", maintain_order="left")
        prompts, answers = (_count(look, counted[name].to_list()) for name in ("text", "answer"))
        sums = [one + other for one, other in zip(prompts, answers, strict=True)]
        turns = (
            counted["messages"].str.count_matches('"role"').fill_null(2).to_list() if "messages" in counted.columns else [2] * len(counted)
        )
        exact = [
            max(total, _templated(look.tokenizer(), row)) if most >= total > most - FRAME - 16 * turn else total
            for total, turn, row in zip(sums, turns, counted.iter_rows(named=True), strict=True)
        ]
        found = counted.with_columns(
            tokens=pl.Series(exact, dtype=pl.Int64), prompt=pl.Series(prompts, dtype=pl.Int64), uncounted=pl.lit(len(maybe) - len(counted))
        )
        return found.filter(pl.col("tokens") > most).select("row_id", "tokens", "prompt", "uncounted", shown=excerpt("answer"))

    def decide(self, measures: pl.DataFrame, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        if measures.is_empty():
            return pl.DataFrame()
        most = look.recipe.model.max_length
        lost = pl.when(pl.col("prompt") >= most)
        what = lost.then(pl.lit("nothing of the answer is left")).otherwise(pl.lit("its end is cut off"))
        told = measures.select(
            "row_id",
            field=pl.lit("answer"),
            evidence=pl.format(f"{{}} tokens where {most} fit, {{}}: {{}}", "tokens", what, "shown"),
            score=1 - most / pl.col("tokens"),
            suggested_fix=pl.lit("raise model.max_length or shorten the row"),
        )
        more = int(measures["uncounted"][0])
        note = f"{more:,} shorter rows of more than {most} bytes were not counted; raise long_conversations.sample to count them"
        rest = (
            pl.DataFrame({"evidence": [note], "severity": ["info"]})
            if more
            else pl.DataFrame(schema={"evidence": pl.String, "severity": pl.String})
        )
        return pl.concat([told, rest], how="diagonal_relaxed").with_columns(severity=pl.col("severity").fill_null(self.severity))


def _size(columns: list[str]) -> pl.Expr:
    """Bytes of a conversation, the tools included."""
    held = [name for name in ("text", "answer", "messages", "tools") if name in columns]
    return pl.sum_horizontal(pl.col(name).cast(pl.String).str.len_bytes().cast(pl.Int64).fill_null(0) for name in held).alias("size")


def _count(look: Look, texts: list[str]) -> list[int]:
    """Tokens of each text alone; without the seconds that a model's library takes to load, where its tokenizer allows."""
    from tunewright.models.room import count_tokens

    known = count_tokens(look.recipe.model.base, texts)
    return known if known is not None else [len(ids) for ids in look.tokenizer()(texts, add_special_tokens=False)["input_ids"]]


def _templated(tokenizer: Any, row: dict[str, Any]) -> int:
    """Tokens of the conversation in the model's chat template; 0 when there is none, or it refuses the chat (`broken_chat` says why)."""
    if not tokenizer.chat_template:
        return 0
    turns = [{"role": "user", "content": row["text"]}, {"role": "assistant", "content": row["answer"]}]
    try:
        messages = orjson.loads(row["messages"]) if row.get("messages") else turns
        tools = orjson.loads(row["tools"]) if row.get("tools") else None
        said = tokenizer.apply_chat_template(messages, tools=tools, tokenize=False)
    except Exception:  # a template raises whatever it likes
        return 0
    return len(tokenizer(said, add_special_tokens=False)["input_ids"])
