"""`Settings`: strict, frozen settings, and the translation of validation errors into lines a user can act on."""

from __future__ import annotations

import difflib
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from tunewright.core.urls import masked

Place = tuple[str | int, ...]


class Settings(BaseModel):
    """Unknown keys are errors, values are not coerced, instances never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def show_place(place: Place) -> str:
    """('audit', 'checks', 0, 'min_words') -> 'audit.checks[0].min_words'."""
    text = ""
    for step in place:
        text += f"[{step}]" if isinstance(step, int) else (f".{step}" if text else str(step))
    return text


def did_you_mean(word: str, known: list[str]) -> str:
    """' Did you mean 'x'?' when a known name is near, the list of known names when it is short, else nothing."""
    near = difflib.get_close_matches(str(word), known, n=1, cutoff=0.6)
    if near:
        return f" Did you mean {near[0]!r}?"
    return f" Known: {', '.join(known)}." if 0 < len(known) <= 16 else ""


def problems_of(error: ValidationError, root: type[BaseModel], prefix: Place = ()) -> list[tuple[Place, str]]:
    """One (place, message) for each mistake in `error`, raised while validating `root`."""
    found = []
    for one in error.errors(include_url=False):
        inner = tuple(step for step in one["loc"] if isinstance(step, int) or not step.endswith(("]", ")")))
        place = (*prefix, *inner)
        if one["type"] == "extra_forbidden":
            message = "unknown key." + did_you_mean(str(inner[-1]), _keys_at(root, inner[:-1]))
        elif one["type"] == "missing":
            message = "is required and missing."
        else:
            rule = one["msg"].removeprefix("Value error, ").removeprefix("Input ").rstrip(".")
            shown = masked(one["input"]) if isinstance(one["input"], str) else one["input"]
            message = f"{rule}, but got {shown!r}."
        found.append((place, message))
    return found


def _keys_at(root: type[BaseModel], place: Place) -> list[str]:
    current: Any = root
    for step in place:
        field = getattr(current, "model_fields", {}).get(step) if isinstance(step, str) else None
        current = field.annotation if field else None
        if current is None:
            return []
        candidates = [current, *getattr(current, "__args__", ())]
        current = next((one for one in candidates if isinstance(one, type) and issubclass(one, BaseModel)), None)
    return list(getattr(current, "model_fields", {}))
