"""What the methods that need no model share: a chance of their own for each new text, and a loop over the chosen rows."""

from __future__ import annotations

import random
from collections.abc import Callable

import polars as pl

WRITTEN = {"parent_id": pl.String, "text": pl.String}


def each(rows: pl.DataFrame, number: int, seed: int, write: Callable[[str, random.Random], str]) -> pl.DataFrame:
    """`write(text, chance)` for each row, `number` times; the chance depends on seed, row and turn alone, not on the order of rows."""
    made = [
        (row, write(text or "", random.Random(f"{seed} {row} {turn}")))
        for row, text in rows.select("row_id", "text").iter_rows()
        for turn in range(number)
    ]
    return pl.DataFrame(made, schema=WRITTEN, orient="row")
