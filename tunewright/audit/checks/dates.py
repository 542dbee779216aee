"""Dates that cannot be: from the future, before computers wrote any, or no date at all. Needs `data.date`.

A split by time, and every question about drift, stands on these dates. `2028-02-25` in mails of 2002 is a wrong clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, timedelta
from typing import ClassVar, Literal

import polars as pl
from pydantic import Field

from tunewright.audit.checks._shared import batches_of
from tunewright.core.parts import Check, Look

EPOCH = date(1970, 1, 1)


class Dates(Check):
    """A date from the future, from before 1970, far from all others, or none that can be read."""

    scope: ClassVar[Literal["row", "all"]] = "all"
    far: float = Field(1.0, gt=0, description="how far outside of the middle 98% a date must lie to be mentioned, in lengths of that range")

    def measure(self, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        column = look.recipe.data.date
        return pl.DataFrame() if column is None or column not in rows.columns or rows.is_empty() else _told(lambda: iter([rows]), column)

    def measure_scan(self, rows: pl.LazyFrame, look: Look) -> pl.DataFrame:
        column = look.recipe.data.date
        if column is None or column not in rows.collect_schema():
            return pl.DataFrame()
        return _told(lambda: batches_of(rows, "row_id", column), column)

    def decide(self, measures: pl.DataFrame, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        if measures.is_empty():
            return pl.DataFrame()
        low, high = measures.select("low", "high").row(0)
        width = max(365.0, self.far * (high - low).days)
        day, today = pl.col("day"), date.today()
        wrong = {
            "no date can be read": day.is_null() & (pl.col("value").fill_null("") != ""),
            f"after today ({today})": day > today + timedelta(days=1),
            "before 1970, or the zero of a clock": day <= EPOCH,
            f"far from the others ({low} to {high})": ((day - high).dt.total_days() > width) | ((low - day).dt.total_days() > width),
        }
        reason = pl.coalesce([pl.when(where).then(pl.lit(why)).otherwise(None) for why, where in wrong.items()])
        odd = measures.drop_nulls("row_id").with_columns(reason=reason).filter(pl.col("reason").is_not_null())
        mild = pl.when(pl.col("reason").str.starts_with("far"))
        told = odd.select(
            "row_id",
            field=pl.lit(look.recipe.data.date),
            evidence=pl.format("{}: {}", "value", "reason"),
            severity=mild.then(pl.lit("info")).otherwise(pl.lit(self.severity)),
            suggested_fix=pl.lit("mend the date, or leave the row out of splits by time"),
        )
        said = measures["whole"][0].to_list()
        whole = pl.DataFrame({"evidence": said}, schema={"evidence": pl.String}).with_columns(
            severity=pl.lit("info"), field=pl.lit(look.recipe.data.date)
        )
        return pl.concat([told, whole], how="diagonal_relaxed")


def _told(batches: Callable[[], Iterator[pl.DataFrame]], column: str) -> pl.DataFrame:
    """The rows whose date may be wrong (row_id, value, day) below a line without a row; on each line where the middle 98% of the days
    begin and end (`low`, `high`), and what there is to say about the `whole` column."""
    from tunewright.text.dates import days, greatest

    numbers = list(zip(*(greatest(part[column]) for part in batches()), strict=True))
    first, second = (max((one for one in side if one is not None), default=None) for side in numbers)
    read = [days(part[column], (first, second)) for part in batches()]
    day = pl.concat([one["day"] for one in read])
    if day.is_empty():
        return pl.DataFrame()
    known = day.drop_nulls().sort()
    low, high = (known[int(share * (len(known) - 1))] for share in (0.01, 0.99)) if len(known) else (EPOCH, EPOCH)
    wrong = pl.col("day")
    odd = (
        (wrong.is_null() & (pl.col("value").fill_null("") != ""))
        | (wrong > date.today())
        | (wrong <= EPOCH)
        | (wrong < low)
        | (wrong > high)
    )
    found, missing = [pl.DataFrame({"row_id": [None], "value": [None], "day": [None]}, schema=_ODD)], 0
    for part, one in zip(batches(), read, strict=True):
        held = part.select("row_id", value=pl.col(column).cast(pl.String).str.head(60))
        missing += int((held["value"].fill_null("") == "").sum())
        found.append(held.with_columns(one["day"]).filter(odd))
    formats = (
        pl.concat([one["format"] for one in read]).drop_nulls().value_counts().sort("count", "format", descending=[True, False]).rows()
    )
    said = [f"several formats of dates: {', '.join(f'{name} {count:,}' for name, count in formats)}"] if len(formats) > 1 else []
    said += (
        ["no date tells whether the day or the month comes first; month first was taken"] if any(one["guess"].any() for one in read) else []
    )
    said += [f"{missing:,} of {len(day):,} rows have no date"] if missing else []
    return pl.concat(found).with_columns(
        low=pl.lit(low), high=pl.lit(high), whole=pl.lit(pl.Series([said], dtype=pl.List(pl.String))).first()
    )


_ODD = {"row_id": pl.String, "value": pl.String, "day": pl.Date}
