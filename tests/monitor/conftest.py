"""A release of a stand-in model on real reviews, and traffic for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tunewright.monitor.measure import Measurer
from tunewright.monitor.reference import load_reference
from tunewright.monitor.rows import COLUMNS
from tunewright.testing.stand_in import StandIn
from tunewright.traffic.record import Exchange
from tunewright.traffic.store import TrafficStore

NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)
REVIEWS = Path(__file__).parents[2] / "examples" / "reviews" / "reviews.csv"
Log = Callable[..., list[str]]


@pytest.fixture(scope="session")
def reviews() -> pl.DataFrame:
    rows = pl.read_csv(REVIEWS).rename({"id": "row_id"}).select("row_id", "text", "label")
    return rows.sample(fraction=1, shuffle=True, seed=5)


@pytest.fixture(scope="session")
def model(reviews: pl.DataFrame) -> StandIn:
    return StandIn.fit(reviews[:1200]).calibrated(reviews[1200:1600])


@pytest.fixture(scope="session")
def fresh(reviews: pl.DataFrame) -> pl.DataFrame:
    """Rows that neither the model nor the reference has seen."""
    return reviews[1600:]


def packed(model: StandIn, reviews: pl.DataFrame, directory: Path, **monitor: Any) -> Path:
    settings = {"window": 100, "resamples": 300, **monitor}
    return model.pack(directory / "release", reviews[1200:1600], {"monitor": settings})


@pytest.fixture(scope="session")
def measurer(model: StandIn, reviews: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Measurer:
    return Measurer(load_reference(packed(model, reviews, tmp_path_factory.mktemp("session")), "demo@0"))


@pytest.fixture
def release(model: StandIn, reviews: pl.DataFrame, tmp_path: Path) -> Path:
    return packed(model, reviews, tmp_path / "demo", alerts={"no_data_minutes": None, "raise_after": 2, "clear_after": 2})


@pytest.fixture
def store(tmp_path: Path) -> Iterator[TrafficStore]:
    with TrafficStore.open(f"sqlite:///{tmp_path}/traffic.db") as one:
        yield one


def window_of(model: StandIn, rows: pl.DataFrame, **columns: Any) -> pl.DataFrame:
    """`rows` (row_id, text) as a window of requests that the model answered."""
    own = rows.select(id="row_id", text="text").hstack(model.answer(rows["text"].to_list()).drop("probabilities"))
    own = own.with_columns(status=pl.lit(200), seconds=pl.lit(0.1), endpoint=pl.lit("classify"))
    own = own.with_columns(
        value if isinstance(value, pl.Series | pl.Expr) else pl.lit(value).alias(name) for name, value in columns.items()
    )
    own = own.with_columns(pl.lit(None, kind).alias(name) for name, kind in COLUMNS.items() if name not in own.columns)
    return own.select(pl.col(name).cast(kind) for name, kind in COLUMNS.items())


@pytest.fixture
def log(store: TrafficStore, model: StandIn) -> Log:
    return logger(store, model)


def logger(store: TrafficStore, model: StandIn) -> Log:
    """Write requests that the model answers into the store; one a second from `start` on. Returns their ids."""

    def write(texts: list[str], start: datetime = NOON, **changed: Any) -> list[str]:
        answers = model.answer(texts)
        ids = [f"cls-{changed.get('side', 'champion')}-{start:%d%H%M%S}-{index}" for index in range(len(texts))]
        with store.writer() as writer:
            for index, (text, answer) in enumerate(zip(texts, answers.iter_rows(named=True), strict=True)):
                plain: dict[str, Any] = {
                    "id": ids[index],
                    "time": start + timedelta(seconds=index),
                    "endpoint": "classify",
                    "model": "demo",
                    "version": "demo@0",
                    "release": "r",
                    "base": "b",
                    "side": "champion",
                    "status": 200,
                    "prompt": text,
                    "answer": answer["answer"],
                    "label": answer["label"],
                    "probabilities": dict(zip(model.labels, answer["probabilities"], strict=True)),
                    "seconds": 0.1,
                }
                writer.log(Exchange(**{**plain, **changed}))
        return ids

    return write
