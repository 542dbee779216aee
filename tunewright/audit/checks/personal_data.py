"""E-mail addresses, phone, account and identity numbers that a model would learn by heart. Evidence shows their form only."""

from __future__ import annotations

from typing import ClassVar

import polars as pl
from pydantic import Field

from tunewright.audit.checks._spots import placed
from tunewright.core.parts import Check, Look
from tunewright.core.rows import content
from tunewright.text.pii import PERSONAL, STRONG, Kind, find, masked


class PersonalData(Check):
    """Personal data, such as e-mail addresses, phone or account numbers. Doubtful ones are `info`."""

    measured_by: ClassVar[tuple[str, ...]] = ("kinds", "region", "allow")
    kinds: list[Kind] = Field(list(PERSONAL), description="what to look for")
    region: str = Field("US", pattern="^[A-Z]{2}$", description="country of phone numbers without a country code")
    allow: list[str] = Field([], description="values, or ends of values such as '@ourfirm.com', that are nobody's secret")

    def measure(self, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        found = find(content(rows), self.kinds, self.region, self.allow)
        return placed(rows, found).with_columns(
            confidence=found["confidence"],
            evidence=pl.format("{}: {}", found["kind"], found["value"].map_elements(masked, return_dtype=pl.String)),
        )

    def decide(self, measures: pl.DataFrame, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        sure = pl.when(pl.col("confidence") >= STRONG)
        return measures.select(
            "row_id",
            "field",
            "start",
            "end",
            "evidence",
            score="confidence",
            severity=sure.then(pl.lit(self.severity)).otherwise(pl.lit("info")),
            suggested_fix=sure.then(pl.lit("redact_pii")).otherwise(pl.lit("review")),
        )
