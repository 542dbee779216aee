"""How the release answers validation rows: what its probabilities are calibrated on, and what monitoring compares live traffic with.

`reference.parquet`: row_id, text, label, group, answer, confidence, probabilities (calibrated, in the order of the labels), prompt_tokens.
At most `ROWS` rows, chosen by a hash of their ids; scored once for a model and a prompt, and kept in the run's `cache/reference/`.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import polars as pl

from tunewright.core.files import fingerprint, read_parquet, write_parquet
from tunewright.core.progress import Report
from tunewright.core.run import Run
from tunewright.core.score import Floats
from tunewright.models.chat import ChatFormat
from tunewright.models.load import LoadedModel
from tunewright.release import calibration

ROWS = 400


def choose(rows: pl.DataFrame, count: int = ROWS) -> pl.DataFrame:
    """`count` rows, the same ones each time, whatever the others are."""
    marks = [hashlib.blake2b(str(one).encode(), digest_size=8).hexdigest() for one in rows["row_id"]]
    return rows.with_columns(mark=pl.Series(marks, dtype=pl.String)).sort("mark").head(count).drop("mark").sort("row_id")


def scores(run: Run, winner: LoadedModel, chat: ChatFormat, rows: pl.DataFrame, report: Report) -> Floats:
    """Log-likelihood (n, c) of each label as the answer to each row; from the cache where this model answered this before."""
    from tunewright.models.score import score_labels

    texts = rows["text"].to_list()
    mark = fingerprint([winner.fingerprint, chat.settings(), texts])
    kept = run.path("cache", "reference", f"{mark}.parquet")
    if not kept.exists():
        with report.task("answering validation rows", len(texts)) as bar:
            found = score_labels(winner, chat, texts, task=bar).log_likelihood
        write_parquet(kept, pl.DataFrame({"log_likelihood": found.tolist()}, schema={"log_likelihood": pl.List(pl.Float64)}))
    return np.array(read_parquet(kept)["log_likelihood"].to_list(), dtype=np.float64).reshape(len(texts), len(chat.labels))


def describe(rows: pl.DataFrame, chat: ChatFormat, log_likelihood: Floats) -> tuple[pl.DataFrame, dict[str, Any]]:
    """`reference.parquet` and `calibration.json`, from what the model said of each row."""
    labels = chat.labels
    truth = np.array([labels.index(one) for one in rows["label"]], dtype=np.int64)
    groups = rows["group" if "group" in rows.columns else "row_id"].cast(pl.String)
    found = calibration.calibrate(log_likelihood, truth, groups.to_list(), labels)
    shares = calibration.probabilities(log_likelihood, found)
    encoded = chat.encode(rows["text"].to_list())
    frame = rows.select("row_id", "text", "label").with_columns(
        group=groups,  # rows that belong together: a monitor must not take a few of them for drift
        answer=pl.Series([labels[place] for place in shares.argmax(axis=1)], dtype=pl.String),
        confidence=pl.Series(shares.max(axis=1), dtype=pl.Float64),
        probabilities=pl.Series(shares.tolist(), dtype=pl.List(pl.Float64)),
        prompt_tokens=pl.Series([len(encoded.prefix) + len(body) for body in encoded.bodies], dtype=pl.Int64),
    )
    return frame, found
