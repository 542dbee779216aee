"""Data sets that Hugging Face's `save_to_disk` wrote: Arrow files, their order in state.json, classes in dataset_info.json, one directory
for each split. Read without importing `datasets`.

    imdb/dataset_dict.json {"splits": ["train", "test"]}   ->   imdb/train/data-00000-of-00001.arrow with the column split = train, ...
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tunewright.core.errors import DataError
from tunewright.sources.place import Place


def is_saved(folder: Path) -> bool:
    """True when `save_to_disk` made this directory."""
    return (folder / "state.json").is_file() or (folder / "dataset_dict.json").is_file()


def places(folder: Path, wanted: tuple[str, ...] = ()) -> list[Place]:
    """The Arrow files of the data set, of the `wanted` splits or of all."""
    if (folder / "dataset_dict.json").is_file():
        splits = _read(folder / "dataset_dict.json").get("splits", [])
        missing = [one for one in wanted if one not in splits]
        if missing:
            raise DataError(f"{folder}: has no split {missing[0]!r}. Splits: {', '.join(splits)}.")
        return [place for one in wanted or splits for place in _of_split(folder / one, f"{one}/", {"split": one})]
    return _of_split(folder, "", {})


def _of_split(folder: Path, prefix: str, added: dict[str, str]) -> list[Place]:
    state = _read(folder / "state.json")
    files = [str(one.get("filename")) for one in state.get("_data_files", [])]
    missing = [name for name in files if not (folder / name).is_file()]
    if missing or not files:
        raise DataError(f"{folder}: the data set is incomplete; state.json names {missing[0] if missing else 'no files'}.")
    info = _read(folder / "dataset_info.json") if (folder / "dataset_info.json").is_file() else {}
    features = info.get("features") or {}
    classes = {
        name: [str(one) for one in kind["names"]]
        for name, kind in features.items()
        if isinstance(kind, dict) and kind.get("_type") == "ClassLabel" and isinstance(kind.get("names"), list)
    }
    return [Place(str(folder / name), "arrow", prefix + name, classes, added) for name in files]


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error}). Was the data set saved completely?") from error
    if not isinstance(found, dict):
        raise DataError(f"{path}: must hold a JSON object.")
    return found
