from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tunewright.testing.postgres import Server, postgres_server
from tunewright.traffic.record import Exchange
from tunewright.traffic.store import TrafficStore

NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)


def exchange(number: int, **changed: Any) -> Exchange:
    """An answer of the champion, one a second from noon on."""
    plain = {
        "id": f"cls-{number}",
        "time": datetime.fromtimestamp(NOON.timestamp() + number, UTC),
        "endpoint": "classify",
        "model": "reviews",
        "version": "reviews@1",
        "release": "5b1e",
        "base": "77aa",
        "side": "champion",
        "status": 200,
        "prompt": f"it broke after {number} days",
        "answer": "negative",
        "label": "negative",
        "probabilities": {"negative": 0.9 - number / 1000, "positive": 0.1 + number / 1000},
        "prompt_tokens": 12,
        "completion_tokens": 1,
        "seconds": 0.02,
    }
    return Exchange(**{**plain, **changed})


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    with postgres_server("fsync=off") as one:
        yield one


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/traffic.db"
    server: Server = request.getfixturevalue("server")
    engine = sa.create_engine(server.url.replace("postgresql:", "postgresql+psycopg:"), isolation_level="AUTOCOMMIT")
    name = f"t{abs(hash(tmp_path)) % 10**9}"
    with engine.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return server.url.replace("/postgres", f"/{name}")


@pytest.fixture
def store(url: str, tmp_path: Path) -> Iterator[TrafficStore]:
    with TrafficStore.open(url, tmp_path) as one:
        yield one
