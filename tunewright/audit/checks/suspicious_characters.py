"""Characters that nobody sees or that pose as others: two rows that look alike are not, filters miss them, a tokenizer shreds them."""

from __future__ import annotations

from typing import ClassVar

import polars as pl

from tunewright.audit.checks._spots import told
from tunewright.core.parts import Check, Look
from tunewright.text.characters import SUSPICIOUS, named, visible


class SuspiciousCharacters(Check):
    """Invisible characters, direction overrides, or letters of another script that look like Latin ones."""

    mild: ClassVar[tuple[str, ...]] = ("zero_width", "private_use")

    def measure(self, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        found = told(rows, SUSPICIOUS)
        shown = [visible(one) for one in found["evidence"]]
        which = [
            f" ({names})" if kind == "mixed_script" and (names := named(one)) else ""
            for kind, one in found.select("kind", "evidence").iter_rows()
        ]
        return found.with_columns(evidence=pl.Series([one + more for one, more in zip(shown, which, strict=True)], dtype=pl.String))

    def decide(self, measures: pl.DataFrame, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        mild = pl.when(pl.col("kind").is_in(self.mild))
        return measures.select(
            "row_id",
            "field",
            "start",
            "end",
            "evidence",
            score=mild.then(0.4).otherwise(0.9),
            severity=mild.then(pl.lit("info")).otherwise(pl.lit(self.severity)),
            suggested_fix=pl.when(pl.col("kind") == "mixed_script").then(pl.lit("review")).otherwise(pl.lit("repair_text")),
        )
