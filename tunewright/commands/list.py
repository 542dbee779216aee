"""`tunewright list KIND`: the parts that a recipe can name, read from their classes."""

from __future__ import annotations

import argparse

from tunewright.commands._shared import out
from tunewright.core import plugins
from tunewright.core.errors import TunewrightError
from tunewright.core.settings import did_you_mean

HELP = "the parts that a recipe can name"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kind", metavar="KIND", help=", ".join(plugins.FOLDERS))


def do(given: argparse.Namespace) -> int:
    if given.kind not in plugins.FOLDERS:
        raise TunewrightError(f"there are no {given.kind!r} to list.{did_you_mean(given.kind, list(plugins.FOLDERS))}")
    parts, lines = [], []
    for name in plugins.names(given.kind):
        part = plugins.load(given.kind, name)
        first = (part.__doc__ or "").strip().splitlines()[0]
        fields = {
            key: {"default": field.get_default(call_default_factory=True), "description": field.description}
            for key, field in part.model_fields.items()
        }
        parts.append({"name": name, "description": first, "settings": fields})
        lines.append(f"{name:<22} {first}")
        lines += [f"{'':<24}{key} = {field['default']}   {field['description'] or ''}".rstrip() for key, field in fields.items()]
    out(given, {given.kind: parts}, lines)
    return 0
