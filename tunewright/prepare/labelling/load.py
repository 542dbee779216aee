"""Labelling functions from a Python file. To load the file is to run it: only ever a path that the user named."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from tunewright.core.errors import DataError
from tunewright.prepare.labelling.functions import ABSTAIN, LabellingFunction

Rule = Callable[[Any], Any]  # a LabellingFunction, or Snorkel's own


@dataclass(frozen=True)
class Functions:
    """`rules` by name, in the order of the file. `labels`: what the file says the labels are, the number of a label being its place
    (None where the file does not say)."""

    rules: dict[str, Rule]
    labels: tuple[str, ...] | None


def load_functions(path: Path) -> Functions:
    """Run the file at `path` and collect its labelling functions. Raises DataError when it cannot run or holds none."""
    if not path.is_file():
        raise DataError(f"there is no file {path}. Give a Python file with functions that are decorated with @labelling_function().")
    module = _run(path)
    rules: dict[str, Rule] = {}
    for one in vars(module).values():
        if isinstance(one, LabellingFunction) or (type(one).__module__.startswith("snorkel.") and hasattr(one, "_f") and callable(one)):
            name = str(one.name)
            if rules.get(name, one) is not one:
                raise DataError(f"{path}: two labelling functions are called {name!r}. Rename one of them.")
            rules[name] = one
    if not rules:
        raise DataError(f"{path}: no labelling function. Decorate at least one function with @labelling_function().")
    return Functions(rules, _labels(path, module))


def _run(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"labelling_functions_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise DataError(f"{path}: not a Python file. Its name must end in .py.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    sys.path.insert(0, str(path.parent.resolve()))  # so that it can import the files beside it, as a script can
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        line = next(
            (f", line {one.lineno}" for one in reversed(traceback.extract_tb(error.__traceback__)) if one.filename == str(path)), ""
        )
        raise DataError(f"{path}{line}: cannot be run ({type(error).__name__}: {error}).") from error
    finally:
        sys.path.remove(str(path.parent.resolve()))
    return module


def _labels(path: Path, module: ModuleType) -> tuple[str, ...] | None:
    """`LABELS` of the file, else its constants, as Snorkel's tutorials write them: NEGATIVE = 0, POSITIVE = 1."""
    given = getattr(module, "LABELS", None)
    if given is not None:
        labels = tuple(map(str, given))
        if len(set(labels)) != len(labels) or not labels:
            raise DataError(f"{path}: LABELS must name each label once, but got {', '.join(labels) or 'none'}.")
        return labels
    numbers = {value: name for name, value in vars(module).items() if name.isupper() and type(value) is int and value >= 0}
    if set(numbers) == set(range(len(numbers))) and "ABSTAIN" in vars(module) and module.ABSTAIN == ABSTAIN and numbers:
        return tuple(numbers[value].lower() for value in range(len(numbers)))
    return None
