"""Act on the audit: rows that named checks flagged leave, or wait in quarantine for a person."""

from __future__ import annotations

from typing import Literal

import polars as pl
from pydantic import Field, field_validator

from tunewright.core import plugins
from tunewright.core.finding import SEVERITIES
from tunewright.core.parts import Look, Step, StepResult
from tunewright.core.settings import did_you_mean
from tunewright.prepare.steps._shared import change


class DropFlagged(Step):
    """Drops or quarantines rows that the audit flagged. The reason is the check's name. A row is judged as it was when it was read."""

    checks: list[str] = Field(min_length=1, description="names of checks, for example [too_long, toxicity]")
    min_score: float | None = Field(None, description="only findings with at least this score")
    min_severity: Literal["info", "warning", "error"] = Field("warning", description="only findings of at least this severity")
    to: Literal["drop", "quarantine"] = Field("drop", description="quarantine: set aside for review in prepare/quarantine.parquet")

    @field_validator("checks")
    @classmethod
    def _known(cls, value: list[str]) -> list[str]:
        known = plugins.names("checks")
        for name in value:
            if "." not in name and name not in known:
                raise ValueError(f"{name!r} is not a check.{did_you_mean(name, known)} Names of checks are needed")
        return value

    def run(self, rows: pl.DataFrame, look: Look) -> StepResult:
        serious = SEVERITIES[SEVERITIES.index(self.min_severity) :]
        found = look.findings().filter(
            pl.col("check").is_in(self.checks), pl.col("severity").is_in(serious), pl.col("row_id").is_not_null()
        )
        if self.min_score is not None:
            found = found.filter(pl.col("score") >= self.min_score)
        worst = found.sort("score", descending=True, nulls_last=True).unique("row_id", keep="first", maintain_order=True)
        flagged = rows.join(worst.select("row_id", "check", "severity", "score"), on="row_id", maintain_order="left")
        said = pl.format("{}, score {}", "severity", pl.col("score").round(3)).fill_null(pl.col("severity"))
        action = "dropped" if self.to == "drop" else "quarantined"
        return StepResult(
            rows.join(flagged, on="row_id", how="anti", maintain_order="left"), change(flagged, action, pl.col("check"), said)
        )
