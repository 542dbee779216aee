"""Rows in the shape that a check needs, made from rows of a classification: for contract tests of checks."""

from __future__ import annotations

from collections.abc import Sequence

import orjson
import polars as pl


def shaped(rows: pl.DataFrame, needs: Sequence[str]) -> pl.DataFrame:
    """`rows` with the columns of `needs` that they lack: each row is answered with the text of the next one."""
    following = {
        "answer": pl.col("text").shift(-1).fill_null(pl.col("text").first()),
        "rejected": pl.col("text").shift(-2).fill_null("No, it is not."),
        "split": pl.when(pl.int_range(pl.len()) % 2 == 0).then(pl.lit("train")).otherwise(pl.lit("test")),
    }
    rows = rows.with_columns(following[name].alias(name) for name in needs if name in following and name not in rows.columns)
    if "messages" in needs and "messages" not in rows.columns:
        answers = rows["text"].shift(-1).fill_null("Fine.")
        turns = [
            [{"role": "user", "content": text}, {"role": "assistant", "content": answer}]
            for text, answer in zip(rows["text"], answers, strict=True)
        ]
        rows = rows.with_columns(messages=pl.Series([orjson.dumps(one).decode() for one in turns], dtype=pl.String))
    return rows
