"""Nothing to read: no text, or only white space and invisible characters."""

from __future__ import annotations

import polars as pl

from tunewright.core.parts import Check, Look
from tunewright.text.repair import empty


class EmptyText(Check):
    """No text, or nothing visible in it."""

    def measure(self, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        return rows.filter(empty(pl.col("text"))).select(
            "row_id", evidence=pl.lit("(empty)"), score=1.0, suggested_fix=pl.lit("drop_empty")
        )
