"""Where registries are, and what a reference such as `reviews`, `reviews@champion` or `reviews@3` means."""

from __future__ import annotations

import os
import re
from pathlib import Path

from tunewright.core.errors import RunError
from tunewright.core.settings import did_you_mean
from tunewright.registry.store import Registry

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def root(given: str | Path | None = None) -> Path:
    """The directory of all models: what is given, `$TUNEWRIGHT_REGISTRY`, or `registry`."""
    return Path(given or os.environ.get("TUNEWRIGHT_REGISTRY") or "registry")


def models(directory: str | Path | None = None) -> list[str]:
    """Names of the models that are registered in `directory`."""
    return sorted(file.parent.name for file in root(directory).glob("*/registry.json"))


def open_model(name: str, directory: str | Path | None = None, *, new: bool = False) -> Registry:
    """The registry of the model `name`. Raises `RunError` for a name that is no name, or (unless `new`) not there yet."""
    if not NAME.fullmatch(name):
        raise RunError(f"{name!r} is not a name of a model: it must be letters, digits, '.', '_' or '-', at most 64, and begin with one.")
    registry = Registry(root(directory) / name)
    if not new and not registry.file.is_file():
        known = models(directory)
        hint = did_you_mean(name, known) or (" None is registered there." if not known else "")
        raise RunError(f"{name}: there is no such model in {root(directory)}.{hint} `tunewright registry register RUN` makes one.")
    return registry


def find(ref: str, directory: str | Path | None = None) -> tuple[Registry, int]:
    """The registry and the version that `ref` names; without `@` it is the champion. Raises `RunError`."""
    name, _, version = ref.partition("@")
    registry = open_model(name, directory)
    return registry, registry.resolve(version or "champion")
