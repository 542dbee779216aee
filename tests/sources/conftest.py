"""Helpers to write a file and read it, for all tests of sources."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tunewright.core.recipe import DataSettings
from tunewright.core.rows import ReadResult
from tunewright.sources import read_rows

Read = Callable[..., ReadResult]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """read("rows.csv", b"...", **keys of data): the file is written first, unless no content is given."""

    def read(name: str, content: bytes | str | None = None, **fields: object) -> ReadResult:
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_rows(DataSettings.model_validate({"path": str(path), **fields}))

    return read
