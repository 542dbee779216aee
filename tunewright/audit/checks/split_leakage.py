"""Splits that the data came with, and rows that stand on both sides: a score on a test that was trained on is no score.

A row is compared with the rows of every split before its own (train before validation before test, others after them by name):
the same words, nearly the same words, and values of `data.groups` that reach over.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Literal

import polars as pl
from pydantic import Field

from tunewright.audit.checks._groups import column_of, grouping
from tunewright.audit.checks._shared import excerpt, joined, joined_scan, rows_at
from tunewright.core.parts import Check, Look

if TYPE_CHECKING:
    from tunewright.text.neardup import NearPairs

ORDER = {"train": 0, "training": 0, "validation": 1, "valid": 1, "val": 1, "dev": 1, "development": 1, "test": 2, "testing": 2, "eval": 2}
LEAST = 0.3  # similarity that is measured, so that the threshold can move


class SplitLeakage(Check):
    """Stands nearly word for word in an earlier split too. For data that comes with a column `split`."""

    severity: ClassVar[str] = "error"
    needs: ClassVar[tuple[str, ...]] = ("split",)
    scope: ClassVar[Literal["row", "all"]] = "all"
    shares: ClassVar[str] = "joined"
    similarity: float = Field(0.5, ge=LEAST, le=1, description="share of common word triples (Jaccard) from which on two rows are one")

    def measure(self, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        return self._leaks(rows, lambda: joined(rows).near(LEAST), lambda places: rows_at(rows, places), look)

    def measure_scan(self, rows: pl.LazyFrame, look: Look) -> pl.DataFrame:
        held = grouping(rows, look, "split")
        return self._leaks(held, lambda: joined_scan(rows, look, LEAST), lambda places: rows_at(rows, places), look)

    def _leaks(
        self, rows: pl.DataFrame, near: Callable[[], NearPairs], take: Callable[[pl.Series], pl.DataFrame], look: Look
    ) -> pl.DataFrame:
        """Rows that stand in an earlier split too, from `rows` without their texts; `take` gives the rows at some places."""
        splits = rows["split"].cast(pl.String).str.strip_chars().str.to_lowercase().fill_null("")
        names = sorted(set(splits) - {""}, key=lambda name: (ORDER.get(name, 3), name))
        if len(names) < 2:
            return pl.DataFrame()
        place = splits.replace_strict({name: place for place, name in enumerate(names)}, default=None, return_dtype=pl.Int32)
        known = rows.select("row_id").with_row_index("row").with_columns(split=splits, place=place).drop_nulls("place")
        known = known.with_columns(size=pl.len().over("split"))
        leaks = pl.concat([_same_words(rows["row_id"], near(), place), self._reaching(rows, place, look)], how="diagonal")
        later = known.join(leaks.select("row_id").unique(), on="row_id", how="semi")
        later = later.join(take(later["row"]).select("row", excerpt=excerpt()), on="row", maintain_order="left")
        later = later.select("row_id", "split", "excerpt", "size")
        earlier = known.select(other="row_id", other_split="split")
        return leaks.join(later, on="row_id", maintain_order="left").join(earlier, on="other", maintain_order="left")

    def _reaching(self, rows: pl.DataFrame, place: pl.Series, look: Look) -> pl.DataFrame:
        """A line for each row whose value in a column of `data.groups` stands in an earlier split."""
        found = [pl.DataFrame(schema={"row_id": pl.String, "other": pl.String, "column": pl.String, "value": pl.String})]
        for given in look.recipe.data.groups:
            value = rows[column_of(look.recipe.data, given, rows.columns)].cast(pl.String)
            held = rows.select("row_id", value=value, place=place).filter(
                (pl.col("value").fill_null("") != "") & pl.col("place").is_not_null()
            )
            first = held.sort("place", maintain_order=True).unique("value", keep="first", maintain_order=True)
            over = held.join(first.rename({"row_id": "other", "place": "first"}), on="value", maintain_order="left")
            over = over.filter(pl.col("first") < pl.col("place"))
            found.append(over.select("row_id", "other", "value", column=pl.lit(given)))
        return pl.concat(found, how="diagonal")

    def decide(self, measures: pl.DataFrame, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        if measures.is_empty():
            return pl.DataFrame()
        near = measures.filter(pl.col("jaccard") >= self.similarity).with_columns(
            trained=(_order("other_split") == 0) & (_order("split") == 2), exact=pl.col("jaccard") == 1
        )
        found = pl.concat([_totals(near), _texts(near), _values(measures)], how="diagonal")
        severity = pl.when("trained").then(pl.lit(self.severity)).otherwise(pl.lit("warning"))
        return found.with_columns(severity=severity).drop("trained")


def _order(column: str) -> pl.Expr:
    return pl.col(column).replace_strict(ORDER, default=3, return_dtype=pl.Int32)


def _totals(near: pl.DataFrame) -> pl.DataFrame:
    """One finding for each pair of splits: how much of the later one stands in the earlier one."""
    pairs = near.group_by("other_split", "split", maintain_order=True).agg(
        rows=pl.len(), exact=pl.col("exact").sum(), trained=pl.col("trained").first(), size=pl.col("size").first()
    )
    share = pl.col("rows") / pl.col("size")
    said = "{} of the {} rows of {} stand in {} too ({}%): {} word for word, {} nearly"
    nearly = pl.col("rows") - pl.col("exact")
    return pairs.select(
        "trained",
        evidence=pl.format(said, "rows", "size", "split", "other_split", (100 * share).round(2), "exact", nearly),
        score=share,
        field=pl.lit("split"),
        suggested_fix=pl.lit("split again"),
    )


def _texts(near: pl.DataFrame) -> pl.DataFrame:
    said = pl.when("exact").then(pl.lit("the same words")).otherwise(pl.lit("nearly the same words"))
    return near.select(
        "row_id",
        "trained",
        evidence=pl.format("{} stand in {} and {}: {}", said, "other_split", "split", "excerpt"),
        related_row_id="other",
        score="jaccard",
        field=pl.lit("text"),
        suggested_fix=pl.lit("split again, or drop it from the earlier split"),
    )


def _same_words(ids: pl.Series, near: NearPairs, place: pl.Series) -> pl.DataFrame:
    """(row_id, other, jaccard): the nearest row of an earlier split, of each row that has one."""
    kind = pl.Series("kind", near.first).cast(pl.UInt32)
    held = pl.DataFrame({"row_id": ids, "kind": kind, "place": place}).drop_nulls("place")
    examples = held.unique(["kind", "place"], keep="first", maintain_order=True).rename({"row_id": "other", "place": "earlier"})
    pairs = near.pairs.select("left", "right", "jaccard").with_columns(pl.col("left", "right").cast(pl.UInt32))
    itself = held.select(left="kind", right="kind").unique().with_columns(jaccard=pl.lit(1.0))
    both = pl.concat([pairs, pairs.select(left="right", right="left", jaccard="jaccard"), itself])
    over = held.filter(pl.col("place") > 0).join(both, left_on="kind", right_on="right").join(examples, left_on="left", right_on="kind")
    over = over.filter(pl.col("earlier") < pl.col("place")).sort(
        "row_id", "jaccard", "earlier", "other", descending=[False, True, False, False]
    )
    return over.unique("row_id", keep="first", maintain_order=True).select("row_id", "other", "jaccard")


def _values(measures: pl.DataFrame) -> pl.DataFrame:
    """One finding for each column and pair of splits that share values of it."""
    if "value" not in measures.columns:
        return pl.DataFrame()
    over = measures.drop_nulls("value").group_by("column", "other_split", "split", maintain_order=True)
    counts = over.agg(values=pl.col("value").n_unique(), rows=pl.len(), example=pl.col("value").first())
    return counts.select(
        evidence=pl.format(
            "{} of {} in {} and in {} ({} rows there), for example {}",
            pl.when(pl.col("values") == 1).then(pl.lit("1 value")).otherwise(pl.format("{} values", "values")),
            "column",
            "other_split",
            "split",
            "rows",
            "example",
        ),
        field="column",
        trained=pl.lit(False),
        suggested_fix=pl.lit("split again by groups"),
    )
