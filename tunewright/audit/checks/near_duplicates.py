"""Edited copies, templates, quotes: nearly the same text twice. Word for word copies are `exact_duplicates`.

What is measured are the pairs from `show` on, a line each, so that `drop` can move without another search:

    left 4 | right 17 | jaccard 0.83 | copy false | left_id r3f.. | right_id r77.. | left_label bad | right_label bad | evidence "..."
"""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import polars as pl
from pydantic import Field, model_validator

from tunewright.audit.checks._shared import excerpt, joined, joined_scan, rows_at
from tunewright.core.parts import Check, Look
from tunewright.text.neardup import NearPairs


class NearDuplicates(Check):
    """Nearly the same words as an earlier row. Similarity is the share of common word triples (Jaccard), each pair's own."""

    scope: ClassVar[Literal["row", "all"]] = "all"
    shares: ClassVar[str] = "joined"
    measured_by: ClassVar[tuple[str, ...]] = ("show",)
    drop: float = Field(0.5, gt=0, le=1, description="from this similarity on, rows of one label are copies that may go")
    show: float = Field(0.3, gt=0, le=1, description="from this similarity on, rows are named and stay in one split; at most `drop`")

    @model_validator(mode="after")
    def _ordered(self) -> NearDuplicates:
        if self.drop < self.show:
            raise ValueError(f"drop ({self.drop:g}) must be at least show ({self.show:g})")
        return self

    def measure(self, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        return _told(joined(rows).near(self.show), rows)

    def measure_scan(self, rows: pl.LazyFrame, look: Look) -> pl.DataFrame:
        return _told(joined_scan(rows, look, self.show), rows)

    def decide(self, measures: pl.DataFrame, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        known = _rows_of(measures)
        place = {name: known["row"].search_sorted(measures[name]).cast(pl.UInt32) for name in ("left", "right")}
        pairs = measures.with_columns(**place)
        dropped = _kept(pairs, known, self.show).keep(self.drop, known["label"] if "label" in known.columns else None)
        nearest = (
            pairs.filter(~pl.col("copy"))
            .sort("right", "jaccard", "left", descending=[False, True, False])
            .unique("right", keep="first", maintain_order=True)
        )
        found = nearest.join(dropped, left_on="right", right_on="row", how="left", maintain_order="left", suffix="_kept")
        gone = pl.col("kept").is_not_null()
        other = known[found.select(pl.coalesce("kept", "left")).to_series()]
        found = found.with_columns(other=other["id"], score=pl.coalesce("jaccard_kept", "jaccard"))
        said, fix = pl.col("evidence"), pl.lit("keep in one split")
        if "label" in known.columns:
            found = found.with_columns(other_label=other["label"])
            differ = pl.when(pl.col("right_label") != pl.col("other_label"))
            said = differ.then(pl.format("labelled {}, the other {}: {}", "right_label", "other_label", said)).otherwise(said)
            fix = differ.then(pl.lit("review")).otherwise(fix)
        return found.select(
            row_id="right_id",
            evidence=said,
            related_row_id="other",
            score="score",
            severity=pl.when(gone).then(pl.lit(self.severity)).otherwise(pl.lit("info")),
            suggested_fix=pl.when(gone).then(pl.lit("drop_near_duplicates")).otherwise(fix),
        )


def _told(near: NearPairs, rows: pl.DataFrame | pl.LazyFrame) -> pl.DataFrame:
    """The pairs, word for word copies among them, with what there is to say about their rows."""
    later = np.flatnonzero(near.first != np.arange(len(near.first)))
    copies = pl.DataFrame({"left": near.first[later], "right": later}).cast(pl.UInt32).with_columns(jaccard=1.0, copy=True)
    pairs = pl.concat([near.pairs.with_columns(copy=False), copies]).sort("right", "left")
    told = rows_at(rows, pl.concat([pairs["left"], pairs["right"]]).unique())
    told = told.select("row", id="row_id", **({"label": "label"} if "label" in told.columns else {}), evidence=excerpt())
    left = told.drop("evidence").rename(lambda name: "left" if name == "row" else f"left_{name}")
    right = told.rename(lambda name: {"row": "right", "evidence": "evidence"}.get(name, f"right_{name}"))
    return pairs.join(left, on="left", maintain_order="left").join(right, on="right", maintain_order="left")


def _rows_of(measures: pl.DataFrame) -> pl.DataFrame:
    """Every row that stands in a pair, once: (row, id, [label]), in the order of the rows."""
    told = ["id", "label"] if "left_label" in measures.columns else ["id"]
    sides = [measures.select(row=side, **{name: f"{side}_{name}" for name in told}) for side in ("left", "right")]
    return pl.concat(sides).unique("row").sort("row")


def _kept(pairs: pl.DataFrame, known: pl.DataFrame, floor: float) -> NearPairs:
    first, copies = np.arange(len(known)), pairs.filter("copy")
    first[copies["right"]] = copies["left"]
    return NearPairs(first, pairs.filter(~pl.col("copy")).select("left", "right", "jaccard"), floor, 0)
