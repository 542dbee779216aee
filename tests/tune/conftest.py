from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch


@pytest.fixture(autouse=True, scope="package")
def one_thread(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Bits are only promised on one thread; and the machine is shared."""
    before = torch.get_num_threads(), os.environ.get("TUNEWRIGHT_CACHE")
    torch.set_num_threads(1)
    os.environ["TUNEWRIGHT_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    yield
    torch.set_num_threads(before[0])
    os.environ.pop("TUNEWRIGHT_CACHE")
    if before[1] is not None:
        os.environ["TUNEWRIGHT_CACHE"] = before[1]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path
