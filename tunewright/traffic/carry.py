"""Rows out of the store, for training or for other tools, and labels into it from files.

    id chatcmpl-9f2 | text "it broke" | label negative | source traffic:reviews@3 | line chatcmpl-9f2 | sampled targeted | approved_by ann | ...

`source` and `line` are what the ledger calls the place of a row: here the version that answered and the request.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

import orjson
import polars as pl

from tunewright.core.errors import DataError
from tunewright.core.files import atomic_path, write_parquet
from tunewright.core.settings import did_you_mean
from tunewright.traffic.record import Feedback
from tunewright.traffic.store import TrafficStore

Sampled = Literal["uniform", "targeted", "volunteered"]
_SAMPLES: tuple[Sampled, ...] = get_args(Sampled)
ROW = ("id", "text", "label", "source", "line", "version", "side", "time", "answered", "right", "sampled", "approved", "by", "arrived")


def training_rows(store: TrafficStore, approved: bool | None = True, since: datetime | None = None, **chosen: Any) -> pl.DataFrame:
    """Requests with their true label, as rows to train on; by default approved ones only. Repeats of one prompt with one label come
    once (the latest); requests whose text was not kept are left out. Columns: `ROW`."""
    rows = store.labelled(approved=approved, since=since, **chosen).filter(pl.col("prompt").is_not_null(), pl.col("shadow_of").is_null())
    rows = rows.unique(("prompt_hash", "truth"), keep="last", maintain_order=True)
    return rows.select(
        "id",
        pl.col("prompt").alias("text"),
        pl.col("truth").alias("label"),
        pl.format("traffic:{}", "version").alias("source"),
        pl.col("id").alias("line"),
        *("version", "side", "time"),
        pl.coalesce("label", "answer").alias("answered"),
        *("right", "sampled", "approved", "by", "arrived"),
    )


def questions(prompts: pl.Series, template: str) -> pl.Series:
    """The texts inside logged prompts: what a chat wraps around a text (`template`, with {text}, is the release's own) is taken off,
    and of a chat with several turns, logged as JSON, the last turn of the user is the question."""
    before, _, after = template.partition("{text}")

    def inside(prompt: str) -> str:
        text = _last_turn(prompt) if prompt.startswith("[{") else prompt
        wrapped = len(text) >= len(before) + len(after) and text.startswith(before) and text.endswith(after)
        return text[len(before) : len(text) - len(after)] if wrapped else text

    return pl.Series(prompts.name, [None if one is None else inside(one) for one in prompts], dtype=pl.String)


def _last_turn(prompt: str) -> str:
    try:
        turns = orjson.loads(prompt)
        asked = [one["content"] for one in turns if one["role"] == "user" and isinstance(one["content"], str)]
    except (ValueError, KeyError, TypeError):
        return prompt
    return asked[-1] if asked else prompt


def write_rows(frame: pl.DataFrame, path: Path) -> None:
    """As the ending of `path` says: .parquet, .jsonl or .csv. Raises `DataError`."""
    if path.suffix == ".parquet":
        write_parquet(path, frame)
    elif path.suffix == ".jsonl":
        with atomic_path(path) as beside:
            frame.with_columns(pl.col(pl.Datetime).dt.to_string("iso:strict")).write_ndjson(beside)
    elif path.suffix == ".csv":
        with atomic_path(path) as beside:
            frame.with_columns(pl.col(pl.Datetime).dt.to_string("iso:strict")).write_csv(beside)
    else:
        raise DataError(f"-o {path}: rows are written as .parquet, .jsonl or .csv, but the name ends in {path.suffix or 'nothing'!r}.")


def read_feedback(path: Path, by: str, sampled: Sampled | None = None, approved: bool = False) -> tuple[list[Feedback], list[str]]:
    """Delayed labels from a csv or jsonl file: request_id (or id) and label (or answer, thumb), and if known event_time, by, sampled, note.

    Returns the feedback and, line by line, what cannot be used. Raises `DataError` when the file is no such thing.
    """
    frame = _table(path)
    names = frame.columns
    key = next((name for name in ("request_id", "id") if name in names), None)
    kinds = [name for name in ("label", "answer", "thumb") if name in names]
    if key is None or not kinds:
        lacks = "request_id" if key is None else "label (or answer, or thumb)"
        raise DataError(f"{path}: needs the column {lacks}, but has {', '.join(names)}.{did_you_mean(lacks.split(' ')[0], names)}")
    now, found, wrong = datetime.now(UTC), [], []
    for number, row in enumerate(frame.iter_rows(named=True), start=2 if path.suffix == ".csv" else 1):
        try:
            found += _feedback(row, key, kinds, now, by, sampled, approved)
        except DataError as error:
            wrong.append(f"{path.name}, line {number}: {error}")
    return found, wrong


def _feedback(
    row: dict[str, Any], key: str, kinds: Sequence[Any], now: datetime, by: str, sampled: Sampled | None, approved: bool
) -> list[Feedback]:
    name = (row[key] or "").strip()
    given = [(kind, (row[kind] or "").strip()) for kind in kinds if (row[kind] or "").strip()]
    if not name or not given:
        raise DataError(f"{key} and one of {', '.join(kinds)} must not be empty")
    said = sampled or (row.get("sampled") or "").strip() or "volunteered"
    how: Sampled | None = next((one for one in _SAMPLES if one == said), None)
    if how is None:
        raise DataError(f"sampled must be one of {', '.join(_SAMPLES)}, but is {said!r}")
    happened = moment(row.get("event_time"), "event_time")
    arrived = moment(row.get("time"), "time") or now
    who = (row.get("by") or "").strip() or by
    return [Feedback(name, kind, value, arrived, who, happened, how, approved, row.get("note") or None) for kind, value in given]


def _table(path: Path) -> pl.DataFrame:
    if not path.is_file():
        raise DataError(f"{path}: there is no such file.")
    try:
        if path.suffix == ".csv":
            return pl.read_csv(path, infer_schema=False)
        if path.suffix in (".jsonl", ".ndjson"):
            return pl.read_ndjson(path, infer_schema_length=None).with_columns(pl.all().cast(pl.String))
        if path.suffix == ".parquet":
            return pl.read_parquet(path).with_columns(pl.all().cast(pl.String))
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"{path}: cannot be read as {path.suffix[1:]} ({str(error).splitlines()[0]}).") from error
    raise DataError(f"{path}: labels are read from .csv, .jsonl or .parquet.")


def moment(text: str | None, name: str) -> datetime | None:
    """An ISO time; one without a zone is UTC. Raises `DataError`."""
    if not text or not text.strip():
        return None
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        raise DataError(f"{name} must be an ISO time such as 2026-11-27T10:03:09+00:00, but is {text!r}") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
