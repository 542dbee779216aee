"""`tunewright run RECIPE`: the whole lifecycle."""

from __future__ import annotations

import argparse

from tunewright.commands._shared import directory, finish, with_recipe, with_run
from tunewright.core.progress import Report
from tunewright.core.recipe import Recipe

HELP = "the whole lifecycle up to a release; goes on with what is unfinished"


def arguments(parser: argparse.ArgumentParser) -> None:
    with_recipe(parser)
    with_run(parser)
    parser.add_argument("--from", dest="start", metavar="STAGE", help="run this stage and the later ones again")
    parser.add_argument("--until", metavar="STAGE", help="stop after this stage")


def do(given: argparse.Namespace) -> int:
    from tunewright import lifecycle

    recipe = Recipe.load(given.recipe, given.set)
    return finish(given, lifecycle.run(recipe, directory(given), given.start, given.until, Report()))
