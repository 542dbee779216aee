"""Which answers people shall look at, and what they approved.

Two samples, kept apart and marked: `uniform` is drawn at random, so its labels estimate accuracy; `targeted` takes the least
confident answers, so its labels only train. An approved answer may be trained on.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

import polars as pl
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from tunewright.core.errors import DataError
from tunewright.traffic import read, schema
from tunewright.traffic.keep import Keeper
from tunewright.traffic.record import Feedback
from tunewright.traffic.writer import insert_rows

Sample = Literal["uniform", "targeted"]


def draw(engine: sa.Engine, chosen: read.Filter, count: int, sampled: Sample, by: str, seed: int | None = None) -> pl.DataFrame:
    """Put `count` more answers into the queue; those that are in it, or that have a label, are not drawn again (repeats of one
    prompt are drawn once). Returns the rows drawn."""
    rows = _open_answers(engine, chosen)
    if sampled == "uniform":
        order = random.Random(seed).sample(range(len(rows)), k=min(count, len(rows)))
        drawn = rows[sorted(order)]
    else:
        drawn = rows.filter(pl.col("confidence").is_not_null()).sort("confidence", "id")
        drawn = drawn.unique("prompt_hash", keep="first", maintain_order=True).head(count)
    marked = [{"request_id": one, "sampled": sampled, "drawn_at": datetime.now(UTC), "drawn_by": by} for one in drawn["id"]]
    if marked:
        insert = postgresql.insert if engine.dialect.name == "postgresql" else sqlite.insert
        with engine.begin() as connection:
            connection.execute(insert(schema.reviews).on_conflict_do_nothing(), marked)
    return drawn.with_columns(sampled=pl.lit(sampled))


def _open_answers(engine: sa.Engine, chosen: read.Filter) -> pl.DataFrame:
    table = schema.requests.c
    queued = sa.select(schema.reviews.c.request_id)
    judged = sa.select(schema.feedback.c.request_id).where(schema.feedback.c.kind.in_(read.ANSWERS))
    columns = [table[name] for name in ("id", "time", "version", "side", "prompt", "prompt_hash", "answer", "label", "confidence")]
    query = sa.select(*columns).where(*chosen.where(), table.status == 200, table.id.not_in(queued), table.id.not_in(judged))
    return read.frame(engine, query.where(table.side != "shadow", table.prompt.is_not(None)).order_by(table.time, table.id))


def queue(engine: sa.Engine, sampled: Sample | None = None, limit: int | None = None) -> pl.DataFrame:
    """Answers that wait for somebody's word, oldest draw first."""
    table, reviews = schema.requests.c, schema.reviews.c
    judged = sa.select(schema.feedback.c.request_id).where(schema.feedback.c.kind.in_(read.ANSWERS))
    columns = [table[name] for name in ("id", "time", "version", "prompt", "answer", "label", "confidence")]
    query = sa.select(*columns, reviews.sampled, reviews.drawn_at).join_from(
        schema.reviews, schema.requests, reviews.request_id == table.id
    )
    query = query.where(reviews.rejected_by.is_(None), table.id.not_in(judged))
    if sampled is not None:
        query = query.where(reviews.sampled == sampled)
    return read.frame(engine, query.order_by(reviews.drawn_at, table.id).limit(limit))


def approve(engine: sa.Engine, ids: Sequence[str], by: str) -> tuple[int, dict[str, str]]:
    """Approve what was said of these requests; where nothing was said, our own answer. Returns how many, and why others were not."""
    known = read.exchanges(engine, read.Filter(), ids=ids)
    spoken = read.said(engine, ids=ids, kinds=read.ANSWERS).sort("approved", "time", "id").unique("request_id", keep="last")
    left = dict.fromkeys(set(ids) - set(known["id"]), "no such request in the store")
    now, words = datetime.now(UTC), []
    for row in known.filter(~pl.col("id").is_in(spoken["request_id"].implode())).to_dicts():
        value = row["label"] or row["answer"]
        if not value or row["status"] != 200:
            left[row["id"]] = "it has no answer that is kept, and nobody said what is right"
            continue
        kind: Literal["label", "answer"] = "label" if row["label"] else "answer"
        words.append(Feedback(row["id"], kind, value, now, by, approved=True))
    spoken = spoken.filter(pl.col("known"))
    with engine.begin() as connection:
        table = schema.feedback
        for row in spoken["id"].to_list():
            change = table.update().where(table.c.id == row, table.c.approved.is_(False))
            connection.execute(change.values(approved=True, approved_by=by, approved_at=now))
    add(engine, words)
    return len(spoken) + len(words), left


def reject(engine: sa.Engine, ids: Sequence[str], by: str) -> int:
    """Take these out of the queue, and approval off what was said of them: they teach nothing."""
    changed = 0
    with engine.begin() as connection:
        for one in ids:
            queued = schema.reviews.update().where(schema.reviews.c.request_id == one).values(rejected_by=by)
            spoken = schema.feedback.update().where(schema.feedback.c.request_id == one).values(approved=False)
            changed += int(connection.execute(queued).rowcount > 0 or connection.execute(spoken).rowcount > 0)
    return changed


def add(engine: sa.Engine, words: Sequence[Feedback], keeper: Keeper | None = None) -> int:
    """Store feedback now; a volunteered label on a queued request is of its sample. Returns how many are new."""
    for one in words:
        if one.kind not in ("thumb", "answer", "label") or not one.value:
            raise DataError(f"feedback on {one.request_id}: kind must be thumb, answer or label and value not empty, but got {one}")
    rows = (keeper or Keeper("text")).feedback(words)
    drawn = _samples(engine, [one.request_id for one in words])
    for row in rows:
        if row["sampled"] == "volunteered" and row["kind"] in read.ANSWERS:
            row["sampled"] = drawn.get(row["request_id"], "volunteered")
    marks, known = {row["mark"]: row for row in rows}, 0
    for part in read.parts(list(marks)):
        query = sa.select(schema.feedback.c.mark).where(schema.feedback.c.mark.in_(part))
        known += len(read.frame(engine, query))
    insert_rows(engine, [("feedback", row) for row in marks.values()])
    return len(marks) - known


def _samples(engine: sa.Engine, ids: Sequence[str]) -> dict[str, str]:
    table, found = schema.reviews.c, {}
    for part in read.parts(ids):
        query = sa.select(table.request_id, table.sampled).where(table.request_id.in_(part))
        found.update(dict(read.frame(engine, query).iter_rows()))
    return found
