"""E-mail addresses, phone numbers and account numbers that a model would learn by heart. Evidence shows their form only."""

from __future__ import annotations

from typing import ClassVar

import polars as pl
from pydantic import Field

from tunewright.core.parts import Check, Look
from tunewright.text.pii import KINDS, STRONG, Kind, find, masked


class PersonalData(Check):
    """Personal data, such as e-mail addresses, phone or account numbers. Doubtful ones are `info`."""

    measured_by: ClassVar[tuple[str, ...]] = ("kinds", "region", "allow")
    kinds: list[Kind] = Field(list(KINDS), description="what to look for")
    region: str = Field("US", pattern="^[A-Z]{2}$", description="country of phone numbers without a country code")
    allow: list[str] = Field([], description="values, or ends of values such as '@ourfirm.com', that are nobody's secret")

    def measure(self, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        found = find(rows["text"], self.kinds, self.region, self.allow)
        return found.select(
            "start",
            "end",
            "confidence",
            row_id=rows["row_id"].gather(found["row"]),
            evidence=pl.format("{}: {}", "kind", pl.col("value").map_elements(masked, return_dtype=pl.String)),
        )

    def decide(self, measures: pl.DataFrame, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        sure = pl.when(pl.col("confidence") >= STRONG)
        return measures.select(
            "row_id",
            "start",
            "end",
            "evidence",
            score="confidence",
            severity=sure.then(pl.lit(self.severity)).otherwise(pl.lit("info")),
            suggested_fix=sure.then(pl.lit("redact_pii")).otherwise(pl.lit("review")),
        )
