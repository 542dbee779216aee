"""Where something was found: pattern finds in text and answer as columns of findings."""

from __future__ import annotations

import polars as pl


def placed(rows: pl.DataFrame, found: pl.DataFrame) -> pl.DataFrame:
    """row_id, field, start and end for `found` (row, start, end) in `core.rows.content(rows)`: of the text, or of the answer without a place."""
    at = rows.select("row_id", size=pl.col("text").str.len_chars().fill_null(0))[found["row"]]
    inside = pl.when(found["end"] <= at["size"])
    return at.select(
        "row_id",
        field=inside.then(pl.lit("text")).otherwise(pl.lit("answer")),
        start=inside.then(found["start"]),
        end=inside.then(found["end"]),
    )
