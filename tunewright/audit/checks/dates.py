"""Dates that cannot be: from the future, before computers wrote any, or no date at all. Needs `data.date`.

A split by time, and every question about drift, stands on these dates. `2028-02-25` in mails of 2002 is a wrong clock.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import ClassVar, Literal

import polars as pl
from pydantic import Field

from tunewright.core.parts import Check, Look

EPOCH = date(1970, 1, 1)


class Dates(Check):
    """A date from the future, from before 1970, far from all others, or none that can be read."""

    scope: ClassVar[Literal["row", "all"]] = "all"
    far: float = Field(1.0, gt=0, description="how far outside of the middle 98% a date must lie to be mentioned, in lengths of that range")

    def measure(self, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        from tunewright.text.dates import days

        column = look.recipe.data.date
        if column is None or column not in rows.columns or rows.is_empty():
            return pl.DataFrame()
        given = rows.select("row_id", value=pl.col(column).cast(pl.String)).hstack(days(rows[column]))
        return given.with_columns(value=pl.col("value").str.head(60))

    def decide(self, measures: pl.DataFrame, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        if measures.is_empty():
            return pl.DataFrame()
        known = measures["day"].drop_nulls().sort()
        low, high = (known[int(share * (len(known) - 1))] for share in (0.01, 0.99)) if len(known) else (EPOCH, EPOCH)
        width = max(365.0, self.far * (high - low).days)
        day, today = pl.col("day"), date.today()
        wrong = {
            "no date can be read": day.is_null() & (pl.col("value").fill_null("") != ""),
            f"after today ({today})": day > today + timedelta(days=1),
            "before 1970, or the zero of a clock": day <= EPOCH,
            f"far from the others ({low} to {high})": ((day - high).dt.total_days() > width) | ((low - day).dt.total_days() > width),
        }
        reason = pl.coalesce([pl.when(where).then(pl.lit(why)).otherwise(None) for why, where in wrong.items()])
        odd = measures.with_columns(reason=reason).filter(pl.col("reason").is_not_null())
        mild = pl.when(pl.col("reason").str.starts_with("far"))
        told = odd.select(
            "row_id",
            field=pl.lit(look.recipe.data.date),
            evidence=pl.format("{}: {}", "value", "reason"),
            severity=mild.then(pl.lit("info")).otherwise(pl.lit(self.severity)),
            suggested_fix=pl.lit("mend the date, or leave the row out of splits by time"),
        )
        return pl.concat([told, self._whole(measures, look)], how="diagonal_relaxed")

    def _whole(self, measures: pl.DataFrame, look: Look) -> pl.DataFrame:
        """What there is to say about the column: several formats, a guessed order, missing dates."""
        formats = measures["format"].drop_nulls().value_counts().sort("count", "format", descending=[True, False]).rows()
        missing = int((measures["value"].fill_null("") == "").sum())
        said = [f"several formats of dates: {', '.join(f'{name} {count:,}' for name, count in formats)}"] if len(formats) > 1 else []
        said += ["no date tells whether the day or the month comes first; month first was taken"] if measures["guess"].any() else []
        said += [f"{missing:,} of {len(measures):,} rows have no date"] if missing else []
        schema = {"evidence": pl.String, "severity": pl.String, "field": pl.String}
        return pl.DataFrame([(one, "info", look.recipe.data.date) for one in said], schema=schema, orient="row")
