"""The monitor's tables: windows that it measured, alerts that it raised. Written by `tunewright.monitor`, read by retraining.

window  reviews@3 | champion | 10:00..10:21 | 500 requests | drifted | {"input_length": {"value": .31, "threshold": .12}, ...}
alert   reviews@3/input_length | warning | open | since 10:21 | "prompts are longer: 41 tokens, reference 22"
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson
import polars as pl
import sqlalchemy as sa

from tunewright.traffic import read, schema


def add_window(
    engine: sa.Engine, version: str, side: str, start: datetime, stop: datetime, requests: int, drifted: bool, signals: Mapping[str, Any]
) -> int:
    """Keep one window; returns its number."""
    values = {"version": version, "side": side, "start": start, "stop": stop, "requests": requests, "drifted": drifted}
    row = {**values, "signals": _json(signals), "written": datetime.now(UTC)}
    with engine.begin() as connection:
        return int(connection.execute(schema.windows.insert().returning(schema.windows.c.id), row).scalar_one())


def windows(
    engine: sa.Engine, versions: read.Names = None, since: datetime | None = None, side: str | None = None, last: int | None = None
) -> pl.DataFrame:
    """Windows in order of their end; `signals` is JSON."""
    table = schema.windows
    query = sa.select(table)
    if versions is not None:
        query = query.where(table.c.version.in_(read.as_list(versions)))
    if since is not None:
        query = query.where(table.c.stop >= since)
    if side is not None:
        query = query.where(table.c.side == side)
    order = (table.c.stop.desc(), table.c.id.desc()) if last is not None else (table.c.stop, table.c.id)
    found = read.frame(engine, query.order_by(*order).limit(last))
    return found.reverse() if last is not None else found


def save_alert(engine: sa.Engine, values: Mapping[str, Any], number: int | None = None) -> int:
    """Insert an alert (all columns but `id`), or change the columns given of alert `number`. `detail` may be a mapping. Returns its number."""
    row = {**values, **({"detail": _json(values["detail"])} if isinstance(values.get("detail"), Mapping) else {})}
    with engine.begin() as connection:
        if number is None:
            return int(connection.execute(schema.alerts.insert().returning(schema.alerts.c.id), row).scalar_one())
        connection.execute(schema.alerts.update().where(schema.alerts.c.id == number), row)
    return number


def alerts(engine: sa.Engine, versions: read.Names = None, states: read.Names = None, since: datetime | None = None) -> pl.DataFrame:
    """Alerts in the order they were opened; `detail` is JSON. `since` keeps those that changed since then."""
    table = schema.alerts
    query = sa.select(table).order_by(table.c.opened, table.c.id)
    if versions is not None:
        query = query.where(table.c.version.in_(read.as_list(versions)))
    if states is not None:
        query = query.where(table.c.state.in_(read.as_list(states)))
    if since is not None:
        query = query.where(table.c.updated >= since)
    return read.frame(engine, query)


def _json(value: Mapping[str, Any]) -> str:
    return orjson.dumps(dict(value), default=str, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY).decode()
