"""Rows that were pasted, exported or collected twice: they count double, and leak when one copy lands in the test."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from tunewright.audit.checks._shared import excerpt, joined, joined_scan, rows_at
from tunewright.core.parts import Check, Look

Ints = npt.NDArray[np.int64]


class ExactDuplicates(Check):
    """The same words as an earlier row. Capital letters, white space and Unicode forms make no difference; a free-text answer counts."""

    scope: ClassVar[Literal["row", "all"]] = "all"
    shares: ClassVar[str] = "joined"

    def measure(self, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        return _copies(joined(rows).first, rows)

    def measure_scan(self, rows: pl.LazyFrame, look: Look) -> pl.DataFrame:
        return _copies(joined_scan(rows, look).first, rows)


def _copies(first: Ints, rows: pl.DataFrame | pl.LazyFrame) -> pl.DataFrame:
    """Each row that repeats an earlier one, with the first such row."""
    later = np.flatnonzero(first != np.arange(len(first)))
    pairs = pl.DataFrame({"row": later, "first": first[later]}).cast(pl.UInt32)
    told = rows_at(rows, pl.concat([pairs["row"], pairs["first"]]).unique())
    both = pairs.join(told, on="row", maintain_order="left").join(
        told, left_on="first", right_on="row", suffix="_first", maintain_order="left"
    )
    alike = pl.col("label") == pl.col("label_first") if "label" in told.columns else pl.lit(True)
    fix = pl.when(alike).then(pl.lit("drop_exact_duplicates")).otherwise(pl.lit("drop_conflicting_labels"))
    return both.select("row_id", evidence=excerpt(), related_row_id="row_id_first", suggested_fix=fix)
