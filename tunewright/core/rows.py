"""The noun of all stages: rows. One row is one training example, with an id for life.

A row:  row_id r8c1f03e2a9d04b17 | source reviews.csv | line 212 | text "great phone" | label positive | review amazon_7 | ...

`text` is what the model is given. Then comes what it should say: `label` (one of a few), or `answer` (free text, with `messages` where
the row is a chat) and `rejected` (a worse answer). The file's other columns keep their names; one that would clash with ours gets an
underscore (`source_`). `tunewright.sources` reads them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import polars as pl

RESERVED = ("row_id", "source", "line", "text", "label", "group", "answer", "rejected", "messages", "tools", "weight", "parent_id")
QUARANTINE_SCHEMA: dict[str, pl.DataType] = {
    "row_id": pl.String(),
    "source": pl.String(),
    "line": pl.Int64(),
    "reason": pl.String(),
    "detail": pl.String(),
    "raw": pl.String(),
}


@dataclass(frozen=True)
class ReadResult:
    """`rows` to work with; `not_selected` by `data.where`; `quarantine` (columns of `QUARANTINE_SCHEMA`). `layout` is what the
    rows were read as, `evidence` why."""

    rows: pl.DataFrame
    not_selected: pl.DataFrame
    quarantine: pl.DataFrame
    layout: str = ""
    evidence: str = ""


Task = Literal["classification", "preference", "generation", "text"]


def task_of(rows: pl.DataFrame) -> Task:
    """What the rows ask of a model, told from their columns."""
    for column, task in _TASKS.items():
        if column in rows.columns:
            return task
    return "text"


_TASKS: dict[str, Task] = {"label": "classification", "rejected": "preference", "answer": "generation"}


def content(rows: pl.DataFrame) -> pl.Series:
    """What makes a row the same as another: its text, and its free-text answer where it has one."""
    if "answer" not in rows.columns:
        return rows["text"]
    return rows.select(text=pl.concat_str("text", "answer", separator="\n", ignore_nulls=True)).to_series()


_SYSTEM = r'^\[\{"role":"system","content":"((?:[^"\\]|\\.)*)"'  # the system message at the beginning of `messages`, as JSON
_ESCAPED = r"\\(?:u[0-9a-fA-F]{4}|.)"


def asked(rows: pl.DataFrame) -> pl.Series:
    """`text`, with one word in place of a chat's system message: rows often share one of hundreds of words, with which in full all
    of them would be near duplicates."""
    if "messages" not in rows.columns:
        return rows["text"]
    frame = pl.col("messages").str.extract(_SYSTEM)
    rest = pl.col("text").str.slice(frame.str.replace_all(_ESCAPED, ".").str.len_chars()).str.strip_chars_start()
    return rows.select(text=pl.when(frame.is_null()).then("text").otherwise(pl.format("system{} {}", frame.hash(3), rest))).to_series()


def compared(rows: pl.DataFrame) -> pl.Series:
    """The words by which rows are told to be alike: what is `asked`, and the free-text answer."""
    return content(rows) if "messages" not in rows.columns else content(rows.with_columns(asked(rows)))
