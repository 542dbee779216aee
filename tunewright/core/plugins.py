"""Parts by file name: one check, step, technique, metric ... is one file, and the name in a recipe is the file's name.

    build("techniques", {"name": "lora", "r": 16})   ->  tunewright/tune/techniques/lora.py: Lora(r=16)
    build("checks", "my_package.checks.NoSwearing")  ->  somebody else's class, by its dotted name

Nothing is registered anywhere: the folder is the list.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tunewright.core.errors import RecipeError
from tunewright.core.settings import Place, Settings, did_you_mean, problems_of, show_place

FOLDERS = {
    "layouts": "tunewright.sources.layouts",
    "checks": "tunewright.audit.checks",
    "steps": "tunewright.prepare.steps",
    "augmenters": "tunewright.prepare.augment.methods",
    "techniques": "tunewright.tune.techniques",
    "objectives": "tunewright.tune.objectives",
    "metrics": "tunewright.evaluate.metrics",
    "baselines": "tunewright.evaluate.baselines",
    "explainers": "tunewright.explain.methods",
    "engines": "tunewright.serve.engines",
    "signals": "tunewright.monitor.signals",
}
PartSpec = str | dict[str, Any]  # how a recipe names a part
FILE: dict[str, Any] = {"format": "file"}  # json_schema_extra of a setting that names a file, relative to the recipe


class Part(Settings):
    """Base of everything that a recipe can name. Fields are its settings, the docstring is its documentation."""

    @classmethod
    def part_name(cls) -> str:
        """The name in a recipe: the file's name, or the dotted name of a class from elsewhere."""
        module = cls.__module__
        at_home = any(module.startswith(folder + ".") for folder in FOLDERS.values())
        return module.rsplit(".", 1)[1] if at_home else f"{module}.{cls.__qualname__}"


def names(kind: str) -> list[str]:
    """The parts that the folder of `kind` holds, sorted."""
    package = import_module(FOLDERS[kind])
    return sorted(one.name for one in pkgutil.iter_modules(package.__path__) if not one.name.startswith("_"))


def load(kind: str, name: str) -> type[Part]:
    """The class behind `name`. Raises `RecipeError` when there is none."""
    if "." in name:
        return _load_dotted(kind, name)
    if name not in names(kind):
        raise RecipeError(kind, [f"{name!r} is not one of the {kind}.{did_you_mean(name, names(kind))}"])
    module = import_module(f"{FOLDERS[kind]}.{name}")
    own = [
        one
        for one in vars(module).values()
        if isinstance(one, type) and issubclass(one, Part) and one.__module__ == module.__name__ and not one.__name__.startswith("_")
    ]
    if len(own) != 1:
        raise RecipeError(kind, [f"{module.__file__} must define exactly one part, but it defines {len(own)}"])
    return own[0]


def _load_dotted(kind: str, name: str) -> type[Part]:
    module, _, attribute = name.rpartition(".")
    try:
        found = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise RecipeError(kind, [f"{name!r} cannot be loaded ({error}). Is the package installed in this environment?"]) from error
    if not (isinstance(found, type) and issubclass(found, Part)):
        raise RecipeError(kind, [f"{name!r} must be a subclass of tunewright.core.plugins.Part, but it is {found!r}"])
    return found


def part_problems(kind: str, spec: Any, place: Place) -> list[tuple[Place, str]]:
    """What is wrong with `spec` (a name, or a mapping with `name` and settings); empty when it can be built."""
    name, values = _split(spec)
    if not isinstance(name, str):
        return [(place, f"must be a name or a mapping with a 'name', but got {spec!r}.")]
    try:
        part = load(kind, name)
    except RecipeError as error:
        return [(place, problem) for problem in error.problems]
    try:
        part.model_validate(values)
    except ValidationError as error:
        return problems_of(error, part, place)
    return []


def files_of(part: type[Part]) -> list[str]:
    """The settings of `part` that name a file: their `Field` has `json_schema_extra=FILE`."""
    return [name for name, field in part.model_fields.items() if field.json_schema_extra == FILE]


def with_resolved_files(kind: str, spec: Any, folder: Path) -> Any:
    """`spec` with the files that it names taken relative to `folder`; a spec that is wrong stays as it is. In a list of files and other
    names, only what is a file there, or is written like one, is a file."""
    name, values = _split(spec)
    if not isinstance(spec, Mapping) or part_problems(kind, spec, ()):
        return spec
    return {**spec, **{one: _resolved(values[one], folder) for one in files_of(load(kind, name)) if one in values}}


def _resolved(value: Any, folder: Path) -> Any:
    if isinstance(value, str):
        return str((folder / value).resolve())
    if isinstance(value, list):
        return [_resolved(one, folder) if one.startswith(".") or set("*?[") & set(one) or (folder / one).exists() else one for one in value]
    return value


def build(kind: str, spec: str | Mapping[str, Any]) -> Any:
    """The part that `spec` describes. Raises `RecipeError` with every mistake in it."""
    found = part_problems(kind, spec, (kind,))
    if found:
        raise RecipeError(kind, [f"{show_place(place)}: {message}" for place, message in found])
    name, values = _split(spec)
    return load(kind, name).model_validate(values)


def _split(spec: Any) -> tuple[Any, dict[str, Any]]:
    if isinstance(spec, Mapping):
        return spec.get("name"), {key: value for key, value in spec.items() if key != "name"}
    return spec, {}
