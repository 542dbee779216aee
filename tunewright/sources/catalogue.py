"""`dataset_info.json` of LLaMA-Factory and ms-swift: a name for each data set, its file, and which column means what.

    {"support": {"file_name": "chats.json", "formatting": "sharegpt", "columns": {"messages": "turns"}}}     data.dataset: support
      ->   data: {path: chats.json, layout: {name: sharegpt, messages: turns}}

Formats: https://github.com/hiyouga/LLaMA-Factory/blob/main/data/README.md,
https://swift.readthedocs.io/en/latest/Customization/Custom-dataset.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tunewright.core.errors import DataError
from tunewright.core.recipe import DataSettings
from tunewright.core.settings import did_you_mean

_HUBS = ("hf_hub_url", "ms_hub_url", "om_hub_url", "script_url", "cloud_file_name", "ms_dataset_id", "hf_dataset_id")
_SWIFT_NAMES = {"query": "prompt", "prompt": "prompt", "response": "completion", "rejected_response": "rejected"}


@dataclass(frozen=True)
class Entry:
    """What an entry asks for: settings to read with, new names of columns, splits, at most so many rows."""

    data: DataSettings
    renamed: Mapping[str, str] = field(default_factory=dict)
    splits: tuple[str, ...] = ()
    rows: int | None = None


def is_catalogue(path: str, data: DataSettings) -> bool:
    """True when `path` lists data sets instead of holding rows."""
    return data.dataset is not None or Path(path).name == "dataset_info.json"


def entry(path: str, data: DataSettings) -> Entry:
    """The entry that `data.dataset` names. Raises `DataError` when there is none, or when it is on a hub."""
    file = Path(path) / "dataset_info.json" if Path(path).is_dir() else Path(path)
    try:
        values = json.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{file}: cannot be read as a list of data sets ({error}).") from error
    entries = _entries(file, values)
    if data.dataset is None:
        raise DataError(f"data.dataset: name one of the data sets in {file}: {', '.join(entries) or 'it has none'}.")
    if data.dataset not in entries:
        raise DataError(
            f"data.dataset: {data.dataset!r} is not in {file}.{did_you_mean(data.dataset, list(entries))} It has: {', '.join(entries)}."
        )
    found = entries[data.dataset]
    name = found.get("file_name") or found.get("dataset_path")
    if not isinstance(name, str):
        hub = next((key for key in _HUBS if found.get(key)), None)
        why = f"is on a hub ({hub}: {found[hub]}), and nothing is downloaded here" if hub else "names no file (file_name or dataset_path)"
        raise DataError(f"{file}: {data.dataset} {why}. Save it as a local file and name that in data.path.")
    place = str((file.parent / Path(name).expanduser()).resolve())
    plain = data.model_copy(update={"path": place, "dataset": None})
    return _swift(file, plain, found) if "dataset_path" in found else _llama_factory(file, plain, found)


def _entries(file: Path, values: Any) -> dict[str, dict[str, Any]]:
    """Entries by name, of a mapping (LLaMA-Factory) or a list (ms-swift)."""
    if isinstance(values, dict):
        return {str(name): one for name, one in values.items() if isinstance(one, dict)}
    if isinstance(values, list) and all(isinstance(one, dict) for one in values):
        return {_swift_name(one): one for one in values}
    raise DataError(f"{file}: must be a mapping of names to data sets (LLaMA-Factory) or a list of them (ms-swift).")


def _swift_name(one: dict[str, Any]) -> str:
    named = one.get("dataset_name") or one.get("ms_dataset_id") or one.get("hf_dataset_id")
    return str(named) if named else Path(str(one.get("dataset_path", "unnamed"))).stem


def _llama_factory(file: Path, data: DataSettings, found: Mapping[str, Any]) -> Entry:
    formatting, columns, tags = found.get("formatting", "alpaca"), found.get("columns") or {}, found.get("tags") or {}
    ranking = bool(found.get("ranking"))
    if formatting not in ("alpaca", "sharegpt", "openai"):
        raise DataError(f"{file}: formatting must be alpaca, sharegpt or openai, but got {formatting!r}.")
    seen = [key for key in ("images", "videos", "audios") if columns.get(key)]
    if seen:
        raise DataError(f"{file}: {data.dataset or 'the data set'} has {seen[0]} (column {columns[seen[0]]!r}); only text is handled.")
    chat = formatting != "alpaca"
    if ranking:
        prompt = columns.get("messages", "conversations") if chat else columns.get("prompt", "instruction")
        layout = {
            "name": "preference",
            "prompt": prompt,
            "chosen": columns.get("chosen", "chosen"),
            "rejected": columns.get("rejected", "rejected"),
        }
        layout |= {} if chat else {"input": columns.get("query", "input")}
    elif formatting == "sharegpt":
        layout = {"name": "sharegpt", "messages": columns.get("messages", "conversations"), **_tags(tags)}
    elif formatting == "openai":
        layout = {"name": "messages", "messages": columns.get("messages", "messages")}
    elif set(columns) == {"prompt"} and columns["prompt"] != "instruction":
        return _limited(data.model_copy(update={"layout": "text", "text": columns["prompt"]}), found)  # continued pre-training
    else:
        usual = {"prompt": "instruction", "query": "input", "response": "output"}
        names = usual | {key: columns[key] for key in (*usual, "history") if key in columns}
        ours = {"prompt": "instruction", "query": "input", "response": "output", "history": "history"}
        layout = {"name": "alpaca", **{ours[key]: name for key, name in names.items()}}
    layout |= {key: columns[key] for key in ("system", "tools") if key in columns and not (key == "tools" and (ranking or not chat))}
    return _limited(data.model_copy(update={"layout": layout}), found)


def _tags(tags: Mapping[str, str]) -> dict[str, str]:
    ours = {"role_tag": "role_key", "content_tag": "content_key"}
    known = ("role_tag", "content_tag", "user_tag", "assistant_tag", "observation_tag", "function_tag", "system_tag")
    return {ours.get(key, key): tags[key] for key in known if key in tags}


def _limited(data: DataSettings, found: Mapping[str, Any]) -> Entry:
    folder = Path(str(data.path)) / str(found.get("subset") or "")
    data = data.model_copy(update={"path": str(folder)}) if found.get("subset") and folder.is_dir() else data
    rows = found.get("num_samples")
    return Entry(data, {}, (str(found.get("split") or "train"),), rows if isinstance(rows, int) else None)


def _swift(file: Path, data: DataSettings, found: Mapping[str, Any]) -> Entry:
    renamed = {str(old): _SWIFT_NAMES.get(str(new), str(new)) for old, new in (found.get("columns") or {}).items()}
    keys = found.get("messages") or {}
    if keys:
        names = {"role_key": keys.get("role_key") or "role", "content_key": keys.get("content_key") or "content"}
        roles = {f"{one}_tag": keys[f"{one}_role"] for one in ("user", "assistant", "system") if isinstance(keys.get(f"{one}_role"), str)}
        data = data.model_copy(update={"layout": {"name": "sharegpt", **names, **roles}})
    split = found.get("split") or ["train"]
    return Entry(data, renamed, tuple(map(str, split)) if isinstance(split, list) else (str(split),))
