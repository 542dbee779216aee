"""Replace personal data by its kind: 'call 212-555-0100' becomes 'call <PHONE>'. Doubtful finds stay."""

from __future__ import annotations

import polars as pl
from pydantic import Field

from tunewright.core.parts import Look, Step, StepResult
from tunewright.prepare.steps._shared import change
from tunewright.text.pii import KINDS, Kind, redact


class RedactPii(Step):
    """Replaces e-mail addresses, phone and account numbers by <EMAIL>, <PHONE>, ... Reason: personal_data."""

    kinds: list[Kind] = Field(list(KINDS), description="what to replace")
    region: str = Field("US", pattern="^[A-Z]{2}$", description="country of phone numbers without a country code")
    allow: list[str] = Field([], description="values, or ends of values such as '@ourfirm.com', that stay")

    def run(self, rows: pl.DataFrame, look: Look) -> StepResult:
        done = redact(rows["text"], self.kinds, self.region, self.allow)
        lines = change(rows.filter(done["found"].is_not_null()), "fixed", "personal_data")
        return StepResult(rows.with_columns(done["text"]), lines.with_columns(detail=done["found"].drop_nulls()))
