"""Tunewright fine-tunes language models on evidence.

`import tunewright as tw` gives `tw.Recipe`, `tw.run`, `tw.audit` and `tw.TunewrightError`. Read `lifecycle.py` first:
it holds the stages in order. Importing this package loads neither torch nor any other heavy library.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from tunewright.audit import audit_frame as audit
    from tunewright.core.errors import TunewrightError
    from tunewright.core.recipe import Recipe
    from tunewright.lifecycle import run

__all__ = ["Recipe", "TunewrightError", "audit", "run"]

_HOMES = {
    "Recipe": ("tunewright.core.recipe", "Recipe"),
    "TunewrightError": ("tunewright.core.errors", "TunewrightError"),
    "run": ("tunewright.lifecycle", "run"),
}


def __getattr__(name: str) -> Any:
    if name == "audit":
        return import_module("tunewright.audit")  # callable, see its last lines
    if name not in _HOMES:
        raise AttributeError(f"module 'tunewright' has no attribute {name!r}")
    module, attribute = _HOMES[name]
    return getattr(import_module(module), attribute)
