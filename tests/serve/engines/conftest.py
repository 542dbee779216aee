"""One tiny base model and its releases for all tests of engines."""

from __future__ import annotations

from pathlib import Path

import pytest

from tunewright.testing.tiny import tiny_model


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("engines") / "base")
