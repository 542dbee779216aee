"""From `data.path` to places to read: one file each, or one database query, with the name that rows carry as `source`.

reviews/                 ->   csv reviews/2024.csv (source 2024.csv), jsonl reviews/2025.jsonl.gz (source 2025.jsonl.gz)
"""

from __future__ import annotations

import glob
import os
import pkgutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

from tunewright.core.errors import DataError
from tunewright.core.recipe import DataSettings
from tunewright.sources.table import Table

_PACKED = (".gz", ".xz", ".zst", ".bz2")
_NOT_ROWS = ("dataset_info.json", "dataset_dict.json", "state.json")


@dataclass(frozen=True)
class Place:
    """One file or query: `path` (secret when it is a database's URL), the format that reads it, its name as `source` of rows; what is known
    besides: names of integer classes by column, values of added columns."""

    path: str
    format: str
    name: str
    classes: Mapping[str, list[str]] = field(default_factory=dict)
    added: Mapping[str, str] = field(default_factory=dict)

    @property
    def file(self) -> Path:
        return Path(self.path)

    def read(self, data: DataSettings, required: tuple[str, ...] = ()) -> Iterator[Table]:
        """The tables of this place."""
        tables: Iterator[Table] = import_module(f"tunewright.sources.formats.{self.format}").read(self, data, required)
        return tables


def formats() -> list[str]:
    """The names of all containers."""
    package = import_module("tunewright.sources.formats")
    return sorted(one.name for one in pkgutil.iter_modules(package.__path__) if not one.name.startswith("_"))


def find(data: DataSettings) -> list[Place]:
    """Every place that `data.path` names, in a stable order. Raises `DataError` when there is none, or a format is unknown."""
    found: list[Place] = []
    for path in [data.path] if isinstance(data.path, str) else data.path:
        found += _find_one(path, data)
    if not found:
        raise DataError("data.path: the list is empty. Name at least one file.")
    return found if len(found) == 1 else _named_apart(found)


def _find_one(path: str, data: DataSettings) -> list[Place]:
    here = Path(path)
    if here.is_file():
        return [Place(path, data.format if data.format != "auto" else _format(here), here.name)]
    if here.is_dir():
        return _of_directory(here, data)
    if any(sign in path for sign in "*?["):
        matches = [Path(one) for one in sorted(glob.glob(path, recursive=True))]
        files = [one for one in matches if one.is_file()]
        if not files:
            raise DataError(f"data.path: no file matches {path}.")
        return [Place(str(one), data.format if data.format != "auto" else _format(one), one.name) for one in files]
    raise DataError(
        f"data.path: there is no such file: {path}. Give a csv, tsv, jsonl, json or parquet file, a directory, or a database URL."
    )


def _of_directory(folder: Path, data: DataSettings) -> list[Place]:
    files = sorted(
        one
        for one in folder.rglob("*")
        if one.is_file() and one.name not in _NOT_ROWS and not any(part.startswith((".", "_")) for part in one.relative_to(folder).parts)
    )
    if data.format == "auto":
        files = [one for one in files if ending(one) in _endings() and ending(one) != "txt"]
    if not files:
        raise DataError(f"data.path: the directory {folder} holds no csv, tsv, jsonl, json or parquet file.")
    return [Place(str(one), data.format if data.format != "auto" else _format(one), one.name) for one in files]


def ending(path: Path) -> str:
    """csv of rows.csv and of rows.csv.gz."""
    name = path.name.lower()
    packed = next((one for one in _PACKED if name.endswith(one)), "")
    return Path(name.removesuffix(packed)).suffix.lstrip(".")


def _endings() -> dict[str, str]:
    return {one: name for name in formats() for one in getattr(import_module(f"tunewright.sources.formats.{name}"), "ENDINGS", ())}


def _format(path: Path) -> str:
    name = _endings().get(ending(path))
    if name is None:
        raise DataError(
            f"data.path: cannot tell the format of {path} from its ending {path.suffix!r}. Set data.format to csv, tsv, jsonl, json or parquet."
        )
    return name


def _named_apart(places: list[Place]) -> list[Place]:
    """Names that tell files apart: with as much of the path as it takes, from the folder that all share."""
    if len({place.name for place in places}) == len(places):
        return places
    shared = os.path.commonpath([str(place.file.parent) for place in places if place.format != "sql"] or ["."])
    return [
        place
        if place.format == "sql"
        else Place(place.path, place.format, Path(os.path.relpath(place.path, shared)).as_posix(), place.classes, place.added)
        for place in places
    ]
