"""What `tunewright serve TARGET` may name: a registry's model, a run, a release, or a base model; and the settings that come with it.

registry/reviews, reviews       the model in the registry: its champion, and whatever its rollout says
runs/demo, runs/demo/release    that release alone, as `demo`, version `demo@0`
smollm2-135m, models/llama      a base model
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tunewright.core.errors import RecipeError, RunError
from tunewright.core.files import read_json
from tunewright.core.loop import ServeSettings
from tunewright.core.recipe import Recipe
from tunewright.registry import Registry, models, root
from tunewright.serve.releases import Release, read_base, read_release, verify
from tunewright.serve.routing import Table

_ODD = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True)
class Target:
    """Where the versions of one model come from. Exactly one of the three is set."""

    model: str
    registry: Registry | None = None
    release: Path | None = None
    base: str | None = None

    def table(self) -> Table:
        """Who answers now. Raises `RunError` when nobody can."""
        if self.registry is not None:
            state = self.registry.state()
            ready = frozenset(number for number, one in state.versions.items() if one.state == "ready")
            times = {number: state.versions[number].created for number in ready}
            challenger = state.rollout.challenger if state.rollout else state.challenger
            serving = state.versions.get(state.champion) if state.champion is not None else None
            name = short(serving.lineage["base_model"]["name"]) if serving is not None else None
            return Table(self.model, state.champion, challenger, state.rollout, ready, name, state.revision, times)
        if self.release is not None:
            manifest = read_json(self.release / "manifest.json")
            base = short(manifest["base_model"]["name"])
            return Table(self.model, 0, versions=frozenset({0}), base=base, created={0: str(manifest.get("created", ""))})
        return Table(self.model, None, base=self.model)

    def read(self, number: int | None, table: Table) -> Release:
        """The version `number`, its files checked against their hashes; None is the base model. Raises `RunError`."""
        if number is None:
            return read_base(table.base or self.model, self._base_directory(table))
        if self.registry is not None:
            self.registry.verify(number)
            return read_release(table.name(number), self.registry.path(number))
        assert self.release is not None
        verify(self.release)
        return read_release(table.name(number), self.release)

    def settings(self, overrides: Sequence[str] = ()) -> ServeSettings:
        """The recipe section `serve` that travelled with the release, with `overrides` ('serve.queue=8'). Raises `RecipeError`."""
        foreign = [one for one in overrides if not one.strip().startswith("serve.")]
        if foreign:
            raise RecipeError("command line", [f"--set {one}: only serve.KEY=VALUE can be set here." for one in foreign])
        folder = self.release
        if self.registry is not None:
            state = self.registry.state()
            newest = state.champion or max((number for number, one in state.versions.items() if one.state == "ready"), default=None)
            folder = None if newest is None else self.registry.path(newest)
        told = folder / "recipe.json" if folder else None
        section = read_json(told).get("serve") or {} if told is not None and told.is_file() else {}
        values = {"data": {"path": "rows.csv"}, "serve": section}
        return Recipe.check(values, source=str(told or "serve"), overrides=overrides).serve

    def _base_directory(self, table: Table) -> Path:
        from tunewright.models.load import BUNDLED, model_directory

        if self.base is not None:
            return model_directory(self.base)
        number = table.champion if table.champion is not None else max(table.versions)
        release = self.registry.path(number) if self.registry else self.release
        assert release is not None
        told = read_json(release / "manifest.json")["base_model"]
        path = Path(told.get("path") or "")
        if (path / "config.json").is_file():
            return path
        if told["name"] in BUNDLED:
            return model_directory(told["name"])
        raise RunError(f"the base model {told['name']} of {release} is not on this machine ({path}); a request does not fetch it.")


def find_target(given: str, registry: str | Path | None = None) -> Target:
    """The target that `given` names; a directory goes before a name. Raises `RunError` that says what there is."""
    path = Path(given).expanduser()
    if path.is_dir():
        if (path / "registry.json").is_file():
            return Target(path.resolve().name, registry=Registry(path))
        for release in (path, path / "release"):
            if (release / "manifest.json").is_file():
                return Target(_called(release), release=release.resolve())
        if (path / "config.json").is_file():
            return Target(short(str(path.resolve())), base=given)
        raise RunError(
            f"{given} cannot be served: it holds no registry.json (a model of the registry), no manifest.json (a release), no"
            " release/manifest.json (a run that has got that far) and no config.json (a base model)."
        )
    folder = root(registry)
    if (folder / given / "registry.json").is_file() and given in models(folder):
        return Target(given, registry=Registry(folder / given))
    if path.is_absolute() or given.startswith("."):
        raise RunError(f"{given}: there is no such directory.")
    _known_base(given, folder)
    return Target(short(given), base=given)


def short(base: str) -> str:
    """The name that callers use for a base model: the last part of a path, the whole of a hub's id."""
    return Path(base).name if Path(base).is_absolute() or base.startswith((".", "~")) else base


def _known_base(given: str, folder: Path) -> None:
    """Raises `RunError` unless `given` is a base model that can be had."""
    from tunewright.core.errors import EnvironmentProblem
    from tunewright.models.load import BUNDLED, model_directory

    if given in BUNDLED:
        return
    try:
        model_directory(given)
    except EnvironmentProblem as error:
        known = ", ".join(models(folder)) or "none"
        raise RunError(
            f"{given!r} is neither a directory, nor a model of the registry in {folder} (models there: {known}), nor a base model. {error}"
        ) from error


def _called(release: Path) -> str:
    """`runs/demo/release` is called demo, another directory as itself."""
    path = release.resolve()
    named = path.parent.name if path.name == "release" else path.name
    return _ODD.sub("-", named).strip("-.") or "model"
