"""Where registries are, and what a reference such as `reviews`, `reviews@champion` or `reviews@3` means."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Place:
    """A release that somebody named: a version of a registry, the one of a run, or a directory of its own."""

    directory: Path
    name: str
    registry: Registry | None = None
    version: int | None = None
    run: Path | None = None

    def __str__(self) -> str:
        return f"{self.name}@{self.version}" if self.registry is not None else str(self.directory)


def locate(ref: str, directory: str | Path | None = None) -> Place:
    """The release that `ref` names: a run directory, a release directory, or MODEL, MODEL@champion, MODEL@3. Raises `RunError`."""
    path = Path(ref)
    if (path / "release" / "manifest.json").is_file():
        return Place(path / "release", path.resolve().name, run=path)
    if (path / "manifest.json").is_file():
        inside = path.resolve().name == "release" and (path.resolve().parent / "resolved.json").is_file()
        return Place(path, path.resolve().parent.name if inside else path.resolve().name, run=path.resolve().parent if inside else None)
    if path.is_dir() and (path / "resolved.json").is_file():
        raise RunError(f"{ref} has no release yet. `tunewright run` packs one at its end; `tunewright release RECIPE` is that stage alone.")
    if "@" not in ref and not NAME.fullmatch(ref):
        raise RunError(f"{ref} is no run, no release and no model: a run has a release/, a release a manifest.json, a model a name.")
    try:
        registry, version = find(ref, directory)
    except RunError as error:
        raise error if path.exists() else RunError(f"{ref} is not a run directory and not a release. As a model: {error}") from None
    return Place(registry.path(version), registry.name, registry, version)
