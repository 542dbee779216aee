"""What surrounds a text and is not part of it: a model learns to write 'Unsubscribe here' as readily as anything else.

The phrases are in `text/data/boilerplate.tsv` (kinds unsubscribe, list_footer, copyright, cookies, sent_from, navigation, disclaimer,
quoted_mail). Lines that many rows share word for word, whatever they say, are `repeated_lines`.
"""

from __future__ import annotations

from typing import ClassVar

import polars as pl
from pydantic import Field

from tunewright.audit.checks._spots import told
from tunewright.core.parts import Check, Look
from tunewright.text.phrases import phrases


class Boilerplate(Check):
    """Footers, cookie notices, navigation or quoted mails around the text. Known phrases only."""

    severity: ClassVar[str] = "info"
    leave: list[str] = Field([], description="kinds that do not matter here: unsubscribe, list_footer, copyright, quoted_mail, ...")

    def measure(self, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        return told(rows, phrases("boilerplate"))

    def decide(self, measures: pl.DataFrame, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        found = measures.filter(~pl.col("kind").is_in(self.leave))
        in_answer = pl.when(pl.col("field") == "answer")
        return found.select(
            "row_id",
            "field",
            "start",
            "end",
            "evidence",
            score=in_answer.then(1.0).otherwise(0.5),
            severity=in_answer.then(pl.lit("warning")).otherwise(pl.lit(self.severity)),
            suggested_fix=pl.lit("cut it off before training"),
        )
