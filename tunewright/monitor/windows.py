"""Windows of traffic: cut in the order in which answers ended, resumed where the last one ended.

A window is `monitor.window` requests of one version and side, or what `monitor.window_minutes` brought. Requests are ordered by when their answer ended,
because that is when the store gets them: ordered by arrival, the slow ones would fall behind the windows that are cut already. What has been
measured is in the store's table `windows`; its newest `stop` is all that has to be remembered.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import polars as pl

from tunewright.core.loop import MonitorSettings
from tunewright.traffic.store import TrafficStore

SETTLE = timedelta(seconds=1)  # the writer needs a tenth of it
AT_ONCE = 20  # windows that are read at once

LEAST = 20  # requests in a window that time closes


def fresh(
    store: TrafficStore,
    version: str,
    side: str,
    settings: MonitorSettings,
    now: datetime,
    slowest: timedelta,
    skip: frozenset[str] = frozenset(),
) -> Iterator[pl.DataFrame]:
    """The windows of a stream that are full and not measured yet, oldest first; read anew after each of `AT_ONCE`, so that the store may be
    of any size. `skip` are hashes of prompts that are the monitor's own."""
    before = store.windows(versions=version, side=side, last=1)
    after: datetime | None = before["stop"][0] if len(before) else None
    limit = AT_ONCE * settings.window
    while True:
        since = None if after is None else after - slowest
        read = store.exchanges(versions=version, sides=side, since=since, limit=limit)
        rows = read.with_columns(ended=pl.col("time") + pl.duration(microseconds=(pl.col("seconds") * 1e6).round().cast(pl.Int64)))
        whole = len(read) < limit
        horizon = now - SETTLE if whole else min(now - SETTLE, read["time"].max())  # type: ignore[type-var]
        rows = rows.filter(pl.col("ended") <= horizon, ~pl.col("prompt_hash").is_in(list(skip)).fill_null(False))
        rows = rows if after is None else rows.filter(pl.col("ended") > after)
        rows = rows.sort("ended", "id")
        found = False
        for window in _cut(rows, settings, now if whole else None):
            found, after = True, window["ended"].max()  # type: ignore[assignment]
            yield window
        if whole:
            return
        limit = AT_ONCE * settings.window if found else 2 * limit


def _cut(rows: pl.DataFrame, settings: MonitorSettings, now: datetime | None) -> Iterator[pl.DataFrame]:
    start, ended = 0, rows["ended"]
    while len(rows) - start >= settings.window:
        end = start + settings.window
        while end < len(rows) and ended[end] == ended[end - 1]:  # what ended at the same microsecond stays together
            end += 1
        yield rows[start:end]
        start = end
    left = rows[start:]
    if now is None or settings.window_minutes is None or len(left) < LEAST:
        return
    if left["ended"][0] <= now - timedelta(minutes=settings.window_minutes):
        yield left
