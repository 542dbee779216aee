"""Moments from the usual ways to write a date: ISO, e-mail, seconds since 1970."""

from __future__ import annotations

import polars as pl


def moments(values: pl.Series) -> pl.Series:
    """Moments in UTC from the usual ways to write them: ISO dates and times, e-mail dates, seconds since 1970; null otherwise."""
    if values.dtype.is_temporal():
        return values.cast(pl.Datetime("us"))
    text = values.cast(pl.String).str.strip_chars()
    zoned = [pl.col("t").str.to_datetime(form, time_unit="us", time_zone="UTC", strict=False) for form in _ZONED]
    plain = [pl.col("t").str.to_datetime(form, time_unit="us", strict=False).dt.replace_time_zone("UTC") for form in _PLAIN]
    days = [pl.col("t").str.to_date(form, strict=False).cast(pl.Datetime("us")).dt.replace_time_zone("UTC") for form in _DAYS]
    seconds = (
        pl.from_epoch(pl.col("t").str.extract(r"^(\d{9,10})(?:\.\d+)?$").cast(pl.Int64)).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    )
    return pl.DataFrame({"t": text}).select(pl.coalesce(*zoned, *plain, *days, seconds)).to_series()


_ZONED = ("%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f%#z", "%a, %d %b %Y %H:%M:%S %z", "%d %b %Y %H:%M:%S %z")
_PLAIN = ("%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y/%m/%d %H:%M:%S")
_DAYS = ("%Y-%m-%d", "%Y/%m/%d", "%Y%m%d", "%d.%m.%Y", "%d %b %Y")
