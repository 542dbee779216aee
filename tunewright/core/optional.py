"""Import a library at the point of use, with one wording when it is missing."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from tunewright.core.errors import EnvironmentProblem


def require(module: str, extra: str) -> ModuleType:
    """Import `module`, or raise `EnvironmentProblem` that names the extra which installs it."""
    try:
        return import_module(module)
    except ImportError as error:
        raise EnvironmentProblem(
            f"{module} is needed here and cannot be imported ({error}). Install it with: pip install 'tunewright[{extra}]'"
        ) from error
