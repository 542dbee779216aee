"""Text that was meant to be replaced: 'lorem ipsum', '[Your Name]', '{{customer}}', a lone 'null'. Phrases: `text/data/placeholders.tsv`."""

from __future__ import annotations

from typing import ClassVar

import polars as pl

from tunewright.audit.checks._spots import told
from tunewright.core.parts import Check, Look
from tunewright.text.phrases import phrases


class Placeholders(Check):
    """Something to be filled in instead of text. Masked values ('url_removed', 'XXXX'), blanks (____) and notes (TODO) are `info`."""

    mild: ClassVar[tuple[str, ...]] = ("masked", "todo", "filler", "blank")

    def measure(self, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        return told(rows, phrases("placeholders"))

    def decide(self, measures: pl.DataFrame, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        mild = pl.when(pl.col("kind").is_in(self.mild))
        return measures.select(
            "row_id",
            "field",
            "start",
            "end",
            "evidence",
            score=mild.then(0.3).when(pl.col("kind") == "nothing").then(1.0).otherwise(0.8),
            severity=mild.then(pl.lit("info")).otherwise(pl.lit(self.severity)),
            suggested_fix=pl.when(pl.col("kind") == "nothing").then(pl.lit("drop the row")).otherwise(pl.lit("review")),
        )
