"""Writes `docs/reference/recipe.md` and `parts.md` from the code: `make docs`. A test holds the files to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tunewright.core import plugins
from tunewright.core.parts import Check
from tunewright.core.recipe import Recipe
from tunewright.core.settings import Settings

REFERENCE = Path(__file__).parent / "reference"
RECIPE = """# The recipe

One YAML file. Every key but `data.path` has a default, a bare section (`tune:`) means its defaults, an unknown key is an error, and all errors come at once. Any key can be
overridden for one run: `--set tune.minutes=5`. A part is a name or a mapping with its settings: `{name: lora, r: 16}`; [parts](parts.md) lists them. Made from the code by
`make docs`.
"""
PARTS = """# Parts

What a recipe can name, with settings and defaults (`tunewright list KIND` prints the same). Made from the code by `make docs`. A check marked * runs only when the recipe
names it; "needs" are the columns without which it has nothing to do.
"""


def plain(value: Any) -> str:
    """A default as it would stand in a recipe."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(plain, value))}]"
    return str(value)


def described(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|")


def section(settings: type[Settings], place: str) -> list[str]:
    """Lines of the table of one section; nested settings follow their own keys."""
    lines = []
    for name, field in settings.model_fields.items():
        candidates = (field.annotation, *getattr(field.annotation, "__args__", ()))
        inner = [one for one in candidates if isinstance(one, type) and issubclass(one, Settings)]
        if inner:
            lines += section(inner[0], f"{place}.{name}")
            continue
        default = "required" if field.is_required() else f"`{plain(field.get_default(call_default_factory=True))}`"
        lines.append(f"| `{place}.{name}` | {default} | {described(field.description)} |")
    return lines


def recipe_page() -> str:
    page = RECIPE
    for name, field in Recipe.model_fields.items():
        kind = field.annotation
        assert isinstance(kind, type)
        assert issubclass(kind, Settings)
        page += (
            f"\n## {name}\n\n{described(kind.__doc__)}\n\n| key | default | meaning |\n|---|---|---|\n"
            + "\n".join(section(kind, name))
            + "\n"
        )
    return page


def parts_page() -> str:
    page = PARTS
    for kind in plugins.FOLDERS:
        page += f"\n## {kind}\n\n| name | what it does | settings |\n|---|---|---|\n"
        for name in plugins.names(kind):
            part = plugins.load(kind, name)
            star, needs = "", ""
            if issubclass(part, Check):
                star, needs = ("" if part.default else " *"), f" Needs {', '.join(part.needs)}." if part.needs else ""
            settings = [
                f"`{key}` = {described(plain(one.get_default(call_default_factory=True)))}" for key, one in part.model_fields.items()
            ]
            page += f"| `{name}`{star} | {described(part.__doc__)}{needs} | {'; '.join(settings)} |\n"
    return page


PAGES = {"recipe.md": recipe_page, "parts.md": parts_page}

if __name__ == "__main__":
    for file, make in PAGES.items():
        (REFERENCE / file).write_text(make(), encoding="utf-8")
