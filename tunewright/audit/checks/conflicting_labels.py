"""The same text with two answers: whatever a model says, one of the rows calls it wrong."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from tunewright.audit.checks._shared import excerpt, joined, joined_scan, rows_at
from tunewright.core.parts import Check, Look
from tunewright.text.labels import spellings

Ints = npt.NDArray[np.int64]


class ConflictingLabels(Check):
    """The same text as another row, but a different label. Spellings of one label do not conflict."""

    needs: ClassVar[tuple[str, ...]] = ("label",)
    scope: ClassVar[Literal["row", "all"]] = "all"
    shares: ClassVar[str] = "joined"

    def measure(self, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        return _torn(joined(rows).first, rows, rows["label"])

    def measure_scan(self, rows: pl.LazyFrame, look: Look) -> pl.DataFrame:
        return _torn(joined_scan(rows, look).first, rows, rows.select("label").collect()["label"])


def _torn(first: Ints, rows: pl.DataFrame | pl.LazyFrame, labels: pl.Series) -> pl.DataFrame:
    """Each row whose text stands under another label too, with the first row that has it."""
    copied = np.flatnonzero(first != np.arange(len(first)))
    told = rows_at(rows, pl.Series(np.union1d(copied, first[copied]), dtype=pl.UInt32))
    same = told.select("row_id", "text", label=pl.col("label").replace(spellings(labels)), text_of=pl.Series(first).gather(told["row"]))
    torn = same.filter(pl.col("label").n_unique().over("text_of") > 1)
    other = torn.join(torn, on="text_of", suffix="_other", maintain_order="left_right").filter(pl.col("label") != pl.col("label_other"))
    return other.unique("row_id", keep="first", maintain_order=True).select(
        "row_id",
        evidence=pl.format("labelled {}, elsewhere {}: {}", "label", "label_other", excerpt()),
        related_row_id="row_id_other",
        field=pl.lit("label"),
        suggested_fix=pl.lit("drop_conflicting_labels"),
    )
