"""Findings: what the audit says about rows. One line of `audit/findings.parquet`:

    row_id r3f09.. | check near_duplicates | severity warning | score 0.83 | field text | start null | end null
    | evidence "great phone, works well" | suggested_fix drop | related_row_id r77ab..

`row_id` is null for a finding about the whole data set; `start` and `end` are character offsets into `field`.
"""

from __future__ import annotations

import polars as pl

FINDING_SCHEMA: dict[str, pl.DataType] = {
    "row_id": pl.String(),
    "check": pl.String(),
    "severity": pl.String(),
    "score": pl.Float64(),
    "field": pl.String(),
    "start": pl.Int64(),
    "end": pl.Int64(),
    "evidence": pl.String(),
    "suggested_fix": pl.String(),
    "related_row_id": pl.String(),
}
SEVERITIES = ("info", "warning", "error")


def findings(check: str, severity: str, found: pl.DataFrame | None = None) -> pl.DataFrame:
    """Bring `found` (any subset of the columns of `FINDING_SCHEMA`) into the full schema; None or no rows gives none."""
    if severity not in SEVERITIES:
        raise ValueError(f"severity must be one of {SEVERITIES}, but got {severity!r}")
    if found is None or found.is_empty():
        return pl.DataFrame(schema=FINDING_SCHEMA)
    fixed = {"check": pl.lit(check)} | ({} if "severity" in found.columns else {"severity": pl.lit(severity)})
    columns = [
        fixed.get(name, pl.col(name) if name in found.columns else pl.lit(None)).cast(kind).alias(name)
        for name, kind in FINDING_SCHEMA.items()
    ]
    return found.select(columns)
