"""Dates as people write them, to days: ISO, mail headers, slashes, seconds since 1970. One format a value, the order of day and month
from the whole column.

    "Thu, 22 Aug 2002 18:26:25 +0700" -> 2002-08-22 (mail)      "22/08/2002" -> 2002-08-22 (day/month/year)      "soon" -> null
"""

from __future__ import annotations

import polars as pl

MONTHS = "Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec"


SLASHES = r"^(?<a>[0-9]{1,2})[/.-](?<b>[0-9]{1,2})[/.-](?<year>[0-9]{4})(?:[^0-9]|$)"
Greatest = tuple[int | None, int | None]


def greatest(values: pl.Series) -> Greatest:
    """The greatest first and second number of values such as 22/08/2002: what is over 12 is no month."""
    parts = pl.DataFrame({"said": values.cast(pl.String).str.strip_chars()}).select(pl.col("said").str.extract_groups(SLASHES))
    numbers = parts.unnest("said").select(pl.col("a", "b").cast(pl.Int32).max()).row(0)
    return numbers[0], numbers[1]


def days(values: pl.Series, known: Greatest | None = None) -> pl.DataFrame:
    """`day` (null where nothing is understood), `format`, and whether the order of day and month is a `guess`. `known` are the
    `greatest` numbers of the whole column, where `values` are a part of it."""
    said = pl.col("said")
    frame = pl.DataFrame({"said": values.cast(pl.String).str.strip_chars()})
    parts = frame.select(said.str.extract_groups(SLASHES).alias("parts")).unnest("parts").cast(pl.Int32)
    first, second = greatest(values) if known is None else known
    day_first = first is not None and first > 12
    guess = first is not None and second is not None and first <= 12 and second <= 12
    day, month = ("a", "b") if day_first else ("b", "a")
    named = said.str.extract_groups(rf"(?i)\b(?<d>[0-9]{{1,2}})(?:st|nd|rd|th)?[ -](?<m>{MONTHS})[a-z]*\.?,?[ -](?<y>[0-9]{{4}})")
    american = said.str.extract_groups(rf"(?i)\b(?<m>{MONTHS})[a-z]*\.? (?<d>[0-9]{{1,2}})(?:st|nd|rd|th)?,? (?<y>[0-9]{{4}})")
    spelled = [
        pl.concat_str(one.struct.field("d").str.zfill(2), one.struct.field("m").str.to_titlecase(), one.struct.field("y"))
        for one in (named, american)
    ]
    iso = said.str.extract(r"^([0-9]{4}-[0-9]{2}-[0-9]{2})(?:[^0-9]|$)").str.to_date(strict=False)
    number, short = said.cast(pl.Float64, strict=False), said.str.contains(r"^[0-9]{9,10}(?:\.[0-9]+)?$")
    seconds = pl.when(short).then(number).when(said.str.contains(r"^[0-9]{13}$")).then(number / 1000).otherwise(None)
    found = {
        "ISO": iso,
        "compact": pl.when(said.str.contains(r"^(?:19|20)[0-9]{6}$")).then(said.str.to_date("%Y%m%d", strict=False)).otherwise(None),
        "mail": spelled[0].str.to_date("%d%b%Y", strict=False),
        "month day, year": spelled[1].str.to_date("%d%b%Y", strict=False),
        "seconds": pl.from_epoch(seconds.cast(pl.Int64)).cast(pl.Date),
        "year/month/day": said.str.extract(r"^([0-9]{4}/[0-9]{1,2}/[0-9]{1,2})(?:[^0-9]|$)").str.to_date("%Y/%m/%d", strict=False),
    }
    read = frame.with_columns(parts).select(**found, slashes=_date("year", month, day))
    order = "day/month/year" if day_first else "month/day/year"
    read = read.rename({"slashes": order})
    kind = pl.coalesce([pl.when(pl.col(name).is_not_null()).then(pl.lit(name)).otherwise(None) for name in read.columns])
    out = read.select(day=pl.coalesce(read.columns), format=kind)
    return out.with_columns(guess=(pl.col("format") == order).fill_null(False) & guess)


def _date(year: str, month: str, day: str) -> pl.Expr:
    """A date from three columns of numbers; null where there is no such day."""
    padded = pl.concat_str(
        pl.col(year).cast(pl.String), pl.col(month).cast(pl.String).str.zfill(2), pl.col(day).cast(pl.String).str.zfill(2)
    )
    return padded.str.to_date("%Y%m%d", strict=False)
