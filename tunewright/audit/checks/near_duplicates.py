"""Edited copies, templates, quotes: nearly the same text twice. Word for word copies are `exact_duplicates`."""

from __future__ import annotations

from typing import ClassVar, Literal

import polars as pl
from pydantic import Field

from tunewright.audit.checks._shared import excerpt, joined
from tunewright.core.parts import Check, Look
from tunewright.text.neardup import keep_by_label


class NearDuplicates(Check):
    """Nearly the same words as an earlier row. Similarity is the share of common word triples (Jaccard), each pair's own."""

    scope: ClassVar[Literal["row", "all"]] = "all"
    measured_by: ClassVar[tuple[str, ...]] = ("drop", "show")
    drop: float = Field(0.5, gt=0, le=1, description="from this similarity on, rows of one label are copies that may go")
    show: float = Field(0.3, gt=0, le=1, description="from this similarity on, rows are named and stay in one split")

    def measure(self, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        join = joined(rows)
        copies = keep_by_label(rows["text"], rows["label"], self.drop).rename({"kept": "left", "row": "right"})
        alike = join.links(self.show).unique("right", keep="first").join(copies, on="right", how="anti")
        pairs = pl.concat([copies.with_columns(copy=True), alike.with_columns(copy=False)], how="diagonal_relaxed")
        pairs = pairs.filter(pl.Series(join.first).gather(pairs["right"]) == pairs["right"]).sort("right")
        row, other = rows[pairs["right"]], rows[pairs["left"]]
        differ = pl.when(row["label"] != other["label"])
        said = differ.then(pl.format("labelled {}, the other {}: {}", "label", other["label"], excerpt()))
        mild = differ.then(pl.lit("review")).otherwise(pl.lit("keep in one split"))
        is_copy = pl.when(pairs["copy"])
        return row.select(
            "row_id",
            evidence=said.otherwise(excerpt()),
            related_row_id=other["row_id"],
            score=pairs["jaccard"],
            severity=is_copy.then(pl.lit(self.severity)).otherwise(pl.lit("info")),
            suggested_fix=is_copy.then(pl.lit("drop_near_duplicates")).otherwise(mild),
        )
