"""API keys, tokens, private keys and passwords: a model repeats them word for word to whoever asks. Evidence shows their form only."""

from __future__ import annotations

from typing import ClassVar

import polars as pl
from pydantic import Field

from tunewright.audit.checks._spots import placed
from tunewright.core.parts import Check, Look
from tunewright.core.rows import content
from tunewright.text.patterns import STRONG, search
from tunewright.text.secrets import SECRETS, shape


class Secrets(Check):
    """Keys, tokens or passwords. Published examples and test keys are `info`."""

    measured_by: ClassVar[tuple[str, ...]] = ("allow",)
    allow: list[str] = Field([], description="values, or ends of values, that are nobody's secret")

    def measure(self, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        found = search(content(rows), SECRETS, allow=self.allow)
        return placed(rows, found).with_columns(
            evidence=pl.format("{}: {}", found["kind"], found["value"].map_elements(shape, return_dtype=pl.String)),
            score=found["confidence"],
        )

    def decide(self, measures: pl.DataFrame, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        sure = pl.when(pl.col("score") >= STRONG)
        return measures.with_columns(
            severity=sure.then(pl.lit(self.severity)).otherwise(pl.lit("info")),
            suggested_fix=sure.then(pl.lit("redact_pii, and revoke the key")).otherwise(pl.lit("review")),
        )
