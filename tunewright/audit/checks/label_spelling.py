"""'Positive' and 'positive ' count as two classes unless somebody notices."""

from __future__ import annotations

from typing import ClassVar, Literal

import polars as pl

from tunewright.core.parts import Check, Look
from tunewright.text.labels import spellings


class LabelSpelling(Check):
    """One label written in several ways: capital letters, white space or Unicode form."""

    needs: ClassVar[tuple[str, ...]] = ("label",)
    scope: ClassVar[Literal["row", "all"]] = "all"

    def measure(self, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        counts = dict(rows["label"].value_counts().iter_rows())
        said = [
            f"{label!r} ({counts[label]:,} rows) is {meant!r} ({counts.get(meant, 0):,} rows) written differently"
            for label, meant in spellings(rows["label"]).items()
            if label != meant
        ]
        fix = {"field": pl.lit("label"), "suggested_fix": pl.lit("normalise_labels")}
        return pl.DataFrame({"evidence": said}, schema={"evidence": pl.String}).with_columns(**fix)

    def measure_scan(self, rows: pl.LazyFrame, look: Look) -> pl.DataFrame:
        return self.measure(rows.select("label").collect(), look)
