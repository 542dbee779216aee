"""What speaks against a row: the audit's findings, each check once, by severity and score.

r3f09..  encoding_damage (warning, 0.8), label_noise (info, 0.9)   ->   0.8 + 0.1 * 0.9 = 0.89
"""

from __future__ import annotations

import polars as pl

from tunewright.core.score import Floats

WEIGHTS = {"info": 0.1, "warning": 1.0, "error": 3.0}


def penalties(rows: pl.DataFrame, findings: pl.DataFrame) -> Floats:
    """(n,) sums over the checks that flagged each row; 0 for a row that none flagged. Rows that a step made count as their parent."""
    own = pl.col("row_id")
    if "parent_id" in rows.columns:
        own = pl.col("parent_id").fill_null(own)
    worst = (
        findings.filter(pl.col("row_id").is_not_null())
        .with_columns(cost=pl.col("severity").replace_strict(WEIGHTS, return_dtype=pl.Float64) * pl.col("score").fill_null(1.0).clip(0, 1))
        .group_by("row_id", "check")
        .agg(pl.col("cost").max())
        .group_by("row_id")
        .agg(pl.col("cost").sum())
    )
    joined = rows.select(row_id=own).join(worst, on="row_id", how="left", maintain_order="left")
    return joined["cost"].fill_null(0.0).to_numpy().astype("float64")
