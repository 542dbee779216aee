"""From `data.path` to places to read: one file each, or one database query, with the name that rows carry as `source`.

reviews/                 ->   csv reviews/2024.csv (source 2024.csv), jsonl reviews/2025.jsonl.gz (source 2025.jsonl.gz)
"""

from __future__ import annotations

import glob
import os
import pkgutil
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path

from tunewright.core.errors import DataError
from tunewright.core.recipe import DataSettings
from tunewright.core.urls import is_url, named
from tunewright.sources import catalogue, saved
from tunewright.sources.place import Place

_PACKED = (".gz", ".xz", ".zst", ".bz2")
_DATABASES = ("duckdb", "db", "sqlite", "sqlite3")
_NOT_ROWS = ("dataset_info.json", "dataset_dict.json", "state.json")


@dataclass(frozen=True)
class Opened:
    """The settings to read with, which a dataset_info.json may have changed, the places, and how many rows at most."""

    data: DataSettings
    places: list[Place]
    rows: int | None = None


def open_data(data: DataSettings) -> Opened:
    """Every place that `data.path` names, in a stable order. Raises `DataError` when there is none, or a format is unknown."""
    if isinstance(data.path, str) and not is_url(data.path) and catalogue.is_catalogue(data.path, data):
        entry = catalogue.entry(data.path, data)
        places = [replace(place, renamed=entry.renamed) for place in _find(entry.data, entry.splits)]
        return Opened(entry.data, places, entry.rows)
    if data.dataset is not None:
        raise DataError("data.dataset: goes with a dataset_info.json as data.path.")
    return Opened(data, _find(data, ()))


def formats() -> list[str]:
    """The names of all containers."""
    package = import_module("tunewright.sources.formats")
    return sorted(one.name for one in pkgutil.iter_modules(package.__path__) if not one.name.startswith("_"))


def _find(data: DataSettings, splits: tuple[str, ...]) -> list[Place]:
    found: list[Place] = []
    for path in [data.path] if isinstance(data.path, str) else data.path:
        found += _find_one(path, data, splits)
    if not found:
        raise DataError("data.path: the list is empty. Name at least one file.")
    return found if len(found) == 1 else _named_apart(found)


def _find_one(path: str, data: DataSettings, splits: tuple[str, ...]) -> list[Place]:
    if is_url(path):
        return [Place(path, "sql", named(path))]
    here = Path(path)
    if here.is_file():
        return [_of_file(here, data)]
    if here.is_dir():
        return saved.places(here, splits) if saved.is_saved(here) else _of_directory(here, data)
    if any(sign in path for sign in "*?["):
        files = [one for match in sorted(glob.glob(path, recursive=True)) if (one := Path(match)).is_file()]
        if not files:
            raise DataError(f"data.path: no file matches {path}.")
        return [_of_file(one, data) for one in files]
    raise DataError(
        f"data.path: there is no such file: {path}. Give a csv, tsv, jsonl, json or parquet file, a directory, or a database URL."
    )


def _of_file(file: Path, data: DataSettings) -> Place:
    if data.format != "auto":
        return Place(str(file), data.format, file.name)
    if ending(file) in _DATABASES:
        with file.open("rb") as opened:
            scheme = "sqlite" if opened.read(15) == b"SQLite format 3" else "duckdb"
        return Place(f"{scheme}:///{file.resolve()}", "sql", file.name)
    return Place(str(file), _format(file), file.name)


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
    return [_of_file(one, data) for one in files]


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
        place if place.format == "sql" else replace(place, name=Path(os.path.relpath(place.path, shared)).as_posix()) for place in places
    ]
