"""Where something was found: finds of patterns and phrases, in text and answer, as columns of findings."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from tunewright.text.phrases import Phrase, spotted

BEFORE, SHOWN = 30, 120
TOLD: dict[str, type[pl.DataType]] = {
    "row_id": pl.String,
    "kind": pl.String,
    "field": pl.String,
    "start": pl.Int64,
    "end": pl.Int64,
    "evidence": pl.String,
    "letters": pl.Int64,
}


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


def told(rows: pl.DataFrame, table: Sequence[Phrase], columns: Sequence[str] = ("text", "answer")) -> pl.DataFrame:
    """The first phrase of each kind in each of these columns (those that the rows have): TOLD, in order of row.

    `evidence` is 'kind: place with what stands around it', `letters` the length of the value looked at.
    """
    parts = [pl.DataFrame(schema=TOLD | {"row": pl.UInt32})]
    for column in (one for one in columns if one in rows.columns):
        found = spotted(rows[column], table)
        at = rows.select("row_id", text=column)[found["row"]].hstack(found)
        start = (pl.col("start") - BEFORE).clip(lower_bound=0)
        length = pl.col("start") - start + (pl.col("end") - pl.col("start")).clip(upper_bound=SHOWN) + BEFORE
        around = pl.col("text").str.slice(start, length).str.replace_all(r"\s+", " ").str.strip_chars()
        here = pl.col("start") if column == "text" else pl.lit(None, pl.Int64)
        told = at.select(
            "row_id",
            "kind",
            "row",
            field=pl.lit(column),
            start=here,
            end=pl.col("end") if column == "text" else here,
            evidence=pl.format("{}: {}", "kind", around),
            letters=pl.col("text").str.len_chars().cast(pl.Int64),
        )
        parts.append(told.select([*TOLD, "row"]))
    return pl.concat(parts).sort("row", maintain_order=True).drop("row")
