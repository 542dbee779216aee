"""A command that runs a single stage of a recipe."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from tunewright.commands._shared import directory, finish, with_recipe, with_run
from tunewright.core.progress import Report
from tunewright.core.recipe import Recipe


def arguments(parser: argparse.ArgumentParser) -> None:
    with_recipe(parser)
    with_run(parser)


def do_stage(name: str) -> Callable[[argparse.Namespace], int]:
    """The `do` of the stage `name`."""

    def do(given: argparse.Namespace) -> int:
        from tunewright import lifecycle

        recipe = Recipe.load(given.recipe, given.set)
        return finish(given, lifecycle.run_only(name, recipe, directory(given), Report()), name)

    return do
