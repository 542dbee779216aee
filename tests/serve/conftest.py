"""An app in this process, and one server in its own, shared by the tests that change nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.serve.house import Running, make_registry, make_release, running, setup_of
from tunewright.serve.app import create_app
from tunewright.serve.service import Setup

Start = Callable[..., TestClient]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """`start("serve.queue=2", ...)` gives a client of an app over one release; `setup=` takes another setup."""
    opened: list[TestClient] = []

    def begin(*overrides: str, setup: Setup | None = None) -> TestClient:
        if setup is None:
            setup = setup_of(tmp_path, make_release(tmp_path / "reviews"), *overrides)
        client = TestClient(create_app(setup), raise_server_exceptions=False, client=("203.0.113.7", 5000))
        client.__enter__()
        opened.append(client)
        return client

    yield begin
    for client in opened:
        client.__exit__(None, None, None)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    folder = tmp_path_factory.mktemp("app")
    app = create_app(setup_of(folder, make_release(folder / "reviews")))
    with TestClient(app, raise_server_exceptions=False, client=("203.0.113.7", 5000)) as found:
        yield found


@pytest.fixture
def client(shared: TestClient) -> TestClient:
    """An app over one release, shared by the tests of a file; its engine has not been asked anything yet."""
    shared.app.state.service.engine._asked.clear()  # type: ignore[attr-defined]
    return shared


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The model `reviews`, version 1 of 2 champion, with the engine of words."""
    folder = tmp_path_factory.mktemp("serve")
    make_registry(folder)
    with running(folder, "reviews", "--set", "serve.timeout_seconds=20") as found:
        yield found
