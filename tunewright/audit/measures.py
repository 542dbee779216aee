"""Measures that outlive a run: `cache/measures/near_duplicates-8c1f03e2a9d04b17.parquet` below the run directory.

The number is a fingerprint of all that a measurement can depend on: the rows, the check's code, the settings it measures by, the
recipe's data and model sections, the version. A threshold is not part of it, so a run with another threshold only decides anew.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from contextlib import suppress
from functools import cached_property
from hashlib import sha256
from inspect import getsourcefile
from pathlib import Path
from typing import Any

import polars as pl
import xxhash

from tunewright import __version__
from tunewright.core.files import fingerprint, sha256_file, write_parquet
from tunewright.core.parts import Check
from tunewright.core.recipe import Recipe


class Measures:
    """The measures kept in `folder`; without a folder nothing is kept."""

    def __init__(self, folder: Path | None, rows: Iterable[pl.DataFrame], recipe: Recipe) -> None:
        self.folder, self._rows, self._recipe = folder, rows, recipe
        self._used: set[str] = set()

    def get(self, check: Check, partly: str = "") -> pl.DataFrame | None:
        """What `check` measured before, in the same circumstances; `partly` says which rows when it was not all of them."""
        if self.folder is None or (path := self.path(check, partly)).is_dir():  # of pieces, which a killed process may have left unfinished
            return None
        with suppress(FileNotFoundError, pl.exceptions.ComputeError):  # a damaged file is measured again
            return pl.read_parquet(path)
        return None

    def put(self, check: Check, measures: pl.DataFrame, partly: str = "") -> None:
        if self.folder is not None:
            if (path := self.path(check, partly)).is_dir():
                shutil.rmtree(path)
            write_parquet(path, measures)

    def path(self, check: Check, partly: str = "") -> Path:
        """Where the measures of `check` belong (a file, or a folder of batches)."""
        assert self.folder is not None
        name = f"{check.part_name()}-{self._fingerprint(check, partly)}.parquet"
        self._used.add(name)
        return self.folder / name

    def prune(self) -> None:
        """Remove what no check asked for: measures of earlier data, settings and versions."""
        if self.folder is None or not self.folder.exists():
            return
        for old in self.folder.iterdir():
            if old.name not in self._used:
                shutil.rmtree(old) if old.is_dir() else old.unlink(missing_ok=True)

    def _fingerprint(self, check: Check, partly: str) -> str:
        settings = {name: getattr(check, name) for name in check.measured_by}
        files = [sha256_file(path) for path in check.reads() if path.is_file()]
        return fingerprint([self._circumstances, check.part_name(), settings, files, _code(type(check)), partly])

    @cached_property
    def _circumstances(self) -> list[Any]:
        """What holds for every check. `data.path` is left out: the rows are in, and a file may move."""
        data = self._recipe.data.model_dump(exclude={"path"})
        near = self._recipe.prepare.near_duplicate_threshold  # label_noise keeps rows as near as this together
        return [__version__, pl.__version__, data, self._recipe.model.model_dump(), near, fingerprint_of(self._rows)]


def fingerprint_of(batches: Iterable[pl.DataFrame]) -> str:
    """A hash of rows, their order and their columns; how they are cut into batches makes no difference."""
    seen, schema = xxhash.xxh3_128(), None
    for rows in batches:
        schema = rows.schema
        seen.update(rows.hash_rows(seed=17).to_numpy().tobytes())
    return f"{seen.hexdigest()} {schema}"


def _code(check: type[Check]) -> str:
    """Hash of the file that defines a check, so that an edited check measures again."""
    with suppress(OSError, TypeError):
        if source := getsourcefile(check):
            return sha256(Path(source).read_bytes()).hexdigest()
    return ""
