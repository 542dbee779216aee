"""The store's rows as Polars frames, chosen by version, side, time and id; labels joined to the answers that they are about.

store.exchanges(versions="reviews@3", sides=("champion",), since=yesterday, last=500)
store.labelled(versions="reviews@3", sampled="uniform", arrived_before=now)
id chatcmpl-9f2 | time ... | label negative | truth neutral | right false | sampled uniform | approved | event_time | arrived | lag_seconds
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
import polars as pl
import sqlalchemy as sa

from tunewright.core.score import Floats
from tunewright.traffic import schema

Names = str | Sequence[str] | None
IDS_AT_ONCE = 5000  # parameters of one query
MOMENT = pl.Datetime("us", "UTC")
ANSWERS = ("label", "answer")  # kinds of feedback that say what is right
_TYPES = {sa.Integer: pl.Int64, sa.BigInteger: pl.Int64, sa.Float: pl.Float64, sa.Boolean: pl.Boolean, schema.Utc: MOMENT}


@dataclass(frozen=True)
class Filter:
    """Which requests: every field that is given narrows the choice. Times are of the request's arrival, `since` <= time < `until`."""

    versions: Names = None
    models: Names = None
    sides: Names = None
    endpoints: Names = None
    since: datetime | None = None
    until: datetime | None = None
    after: tuple[datetime, str] | None = None  # (time, id) of the last request that was read already

    def where(self) -> list[sa.ColumnElement[bool]]:
        table = schema.requests.c
        given = ((table.version, self.versions), (table.model, self.models), (table.side, self.sides), (table.endpoint, self.endpoints))
        found: list[sa.ColumnElement[bool]] = [column.in_(as_list(names)) for column, names in given if names is not None]
        if self.since is not None:
            found.append(table.time >= self.since)
        if self.until is not None:
            found.append(table.time < self.until)
        if self.after is not None:
            moment, name = self.after
            found.append(sa.or_(table.time > moment, sa.and_(table.time == moment, table.id > name)))
        return found


def exchanges(
    engine: sa.Engine,
    chosen: Filter,
    ids: Sequence[str] | None = None,
    last: int | None = None,
    limit: int | None = None,
    columns: Sequence[str] | None = None,
) -> pl.DataFrame:
    """Requests in order of (time, id): all that are chosen, the first `limit`, or the `last` ones."""
    table = schema.requests
    wanted = [table.c[name] for name in columns or schema.columns(table)]
    query = sa.select(*wanted).where(*chosen.where())
    newest_first = last is not None
    order = (table.c.time.desc(), table.c.id.desc()) if newest_first else (table.c.time, table.c.id)
    query = query.order_by(*order).limit(last if newest_first else limit)
    if ids is None:
        found = frame(engine, query)
    else:
        pieces = [frame(engine, query.where(table.c.id.in_(part))) for part in parts(ids)]
        found = pl.concat(pieces) if pieces else frame(engine, query.where(sa.false()))
    return found.reverse() if newest_first else found


def said(
    engine: sa.Engine,
    ids: Sequence[str] | None = None,
    kinds: Names = None,
    since: datetime | None = None,
    until: datetime | None = None,
    chosen: Filter | None = None,
) -> pl.DataFrame:
    """Feedback in order of arrival. `known` is false where the request is not (or no longer) in the store. `since` and `until` are
    times of arrival; `chosen` keeps feedback on these requests only."""
    table, requests = schema.feedback, schema.requests
    known = requests.c.id.is_not(None).label("known")
    query = sa.select(*table.c, known, requests.c.version, requests.c.side).select_from(
        table.outerjoin(requests, table.c.request_id == requests.c.id)
    )
    query = query.order_by(table.c.time, table.c.id)
    if kinds is not None:
        query = query.where(table.c.kind.in_(as_list(kinds)))
    if since is not None:
        query = query.where(table.c.time >= since)
    if until is not None:
        query = query.where(table.c.time < until)
    if chosen is not None:
        query = query.where(*chosen.where())
    if ids is None:
        return frame(engine, query)
    pieces = [frame(engine, query.where(table.c.request_id.in_(part))) for part in parts(ids)]
    return pl.concat(pieces) if pieces else frame(engine, query.where(sa.false()))


def labelled(
    engine: sa.Engine, chosen: Filter, sampled: Names = None, approved: bool | None = None, arrived_before: datetime | None = None
) -> pl.DataFrame:
    """Requests for which somebody said what is right, one row each: an approved word before others, then the latest.

    Adds truth, right (null without an answer of ours), truth_kind, sampled, approved, by, arrived, event_time, lag_seconds (from the request to the label) and
    note. A request is `uniform` if any of its labels came from a uniform sample.
    """
    table, requests = schema.feedback.c, schema.requests.c
    told = (table.value, table.kind, table.sampled, table.approved, table.by, table.time, table.event_time, table.note)
    names = ("truth", "truth_kind", "sampled", "approved", "by", "arrived", "event_time", "note")
    labels = [column.label(name) for column, name in zip(told, names, strict=True)]
    query = sa.select(*requests, *labels).join_from(schema.feedback, schema.requests, table.request_id == requests.id)
    query = query.where(table.kind.in_(ANSWERS), *chosen.where())
    if arrived_before is not None:
        query = query.where(table.time < arrived_before)
    found = frame(engine, query.order_by(table.approved, table.time, table.id))
    uniform = (pl.col("sampled") == "uniform").any().over("id")
    found = found.with_columns(sampled=pl.when(uniform).then(pl.lit("uniform")).otherwise("sampled"))
    found = found.unique("id", keep="last", maintain_order=True).sort("time", "id")
    ours = pl.coalesce("label", pl.col("answer").str.strip_chars())
    found = found.with_columns(
        right=ours == pl.col("truth"), lag_seconds=(pl.col("arrived") - pl.col("time")).dt.total_milliseconds() / 1000
    )
    if sampled is not None:
        found = found.filter(pl.col("sampled").is_in(as_list(sampled)))
    return found if approved is None else found.filter(pl.col("approved") == approved)


def probabilities(rows: pl.DataFrame, labels: Sequence[str]) -> Floats:
    """(n, c): what each answer gave to each of `labels`; NaN where it gave nothing."""
    import numpy as np

    given = [orjson.loads(text) if text else {} for text in rows["probabilities"]]
    return np.array([[one.get(label, np.nan) for label in labels] for one in given], dtype=np.float64).reshape(len(given), len(labels))


def frame(engine: sa.Engine, query: sa.Select[Any]) -> pl.DataFrame:
    """The result of `query` with the schema that its columns have, also when it is empty."""
    types = {column.name: _type(column.type) for column in query.selected_columns}
    with engine.connect() as connection:
        rows = [tuple(row) for row in connection.execute(query)]
    return pl.DataFrame(rows, schema=types, orient="row")


def _type(kind: sa.types.TypeEngine[Any]) -> Any:
    return next((polars for known, polars in _TYPES.items() if isinstance(kind, known)), pl.String)


def as_list(names: str | Sequence[str]) -> list[str]:
    return [names] if isinstance(names, str) else list(names)


def parts(ids: Sequence[str]) -> Iterator[list[str]]:
    """`ids` without repeats, as many at a time as one query takes."""
    distinct = sorted(set(ids))
    for start in range(0, len(distinct), IDS_AT_ONCE):
        yield distinct[start : start + IDS_AT_ONCE]
