"""Text beyond the model's limit is cut, and the answer may be in the part that is cut off."""

from __future__ import annotations

from typing import ClassVar, Literal

import polars as pl

from tunewright.audit.checks._shared import excerpt
from tunewright.core.parts import Check, Look


class LongText(Check):
    """More tokens than `model.max_length` leaves for the text; the end would be cut off."""

    needs: ClassVar[tuple[str, ...]] = ("label",)
    scope: ClassVar[Literal["row", "all"]] = "all"

    def measure(self, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        return self.measure_scan(rows.lazy(), look)

    def measure_scan(self, rows: pl.LazyFrame, look: Look) -> pl.DataFrame:
        from tunewright.models.room import SEAM, count_tokens, room_for

        recipe, labels = look.recipe, rows.select(pl.col("label").unique().sort()).collect().to_series().to_list()
        if not labels:
            return pl.DataFrame()
        room = room_for(recipe, labels, look.tokenizer)
        maybe = rows.filter(pl.col("text").str.len_bytes() > room).select("row_id", "text").collect()  # a token is at least one byte
        if len(maybe) and (tokens := count_tokens(recipe.model.base, maybe["text"].to_list())) is not None:
            maybe = maybe.filter(pl.Series(tokens) > room - SEAM)
        return pl.DataFrame() if maybe.is_empty() else self._cut(maybe, labels, look)

    def _cut(self, maybe: pl.DataFrame, labels: list[str], look: Look) -> pl.DataFrame:
        """Those that the model's own prompt format cuts."""
        from tunewright.models.chat import ChatFormat

        form = ChatFormat.of(look.recipe, look.tokenizer(), labels)
        cut = maybe.filter(pl.Series(form.encode(maybe["text"].to_list()).truncated, dtype=pl.Boolean))
        if cut.is_empty():
            return pl.DataFrame()
        tokens = form.tokenizer(cut["text"].to_list(), add_special_tokens=False)["input_ids"]
        return cut.with_columns(tokens=pl.Series(map(len, tokens))).select(
            "row_id",
            evidence=pl.format("{} tokens where {} fit: {}", "tokens", pl.lit(form.room), excerpt()),
            score=1 - form.room / pl.col("tokens"),
            suggested_fix=pl.lit("raise model.max_length or shorten the text"),
        )
