"""`tunewright doctor [RECIPE]`: what is installed, what a recipe would do, which tokens are learnt."""

from __future__ import annotations

import argparse

from tunewright.commands._shared import out, with_recipe
from tunewright.core.errors import TunewrightError
from tunewright.core.recipe import Recipe

HELP = "check the environment, and a recipe: masks, memory and time"


def arguments(parser: argparse.ArgumentParser) -> None:
    with_recipe(parser, optional=True)
    parser.add_argument("--show-mask", type=int, metavar="N", help="show which tokens of the first N rows the loss looks at")


def do(given: argparse.Namespace) -> int:
    from tunewright.doctor import examine

    recipe = Recipe.load(given.recipe, given.set) if given.recipe else None
    if given.show_mask is not None and recipe is None:
        raise TunewrightError("--show-mask needs a recipe: tunewright doctor RECIPE --show-mask 2")
    document, lines = examine(recipe, given.show_mask or 0)
    out(given, document, lines)
    return 0 if document["ok"] else 2
