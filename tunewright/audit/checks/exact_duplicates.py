"""Rows that were pasted, exported or collected twice: they count double, and leak when one copy lands in the test."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import polars as pl

from tunewright.audit.checks._shared import excerpt, joined
from tunewright.core.parts import Check, Look


class ExactDuplicates(Check):
    """The same words as an earlier row. Capital letters, white space and Unicode forms make no difference; a free-text answer counts."""

    scope: ClassVar[Literal["row", "all"]] = "all"

    def measure(self, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        first = joined(rows).first
        later = np.flatnonzero(first != np.arange(len(rows)))
        row, other = rows[later], rows[first[later]]
        alike = row["label"] == other["label"] if "label" in rows.columns else True
        fix = pl.when(alike).then(pl.lit("drop_exact_duplicates")).otherwise(pl.lit("drop_conflicting_labels"))
        return row.select("row_id", evidence=excerpt(), related_row_id=other["row_id"], suggested_fix=fix)
