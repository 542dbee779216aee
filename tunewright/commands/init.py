"""`tunewright init DATA`: a first look, and a recipe to start from."""

from __future__ import annotations

import argparse
from pathlib import Path

from tunewright.commands._shared import out

HELP = "look at the data and write a commented recipe"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", metavar="DATA", help="file, directory, glob or database URL")
    parser.add_argument("-o", "--output", default="recipe.yaml", metavar="FILE")
    parser.add_argument("--set", action="append", default=[], metavar="data.KEY=VALUE", help="what init cannot guess, such as data.query")


def do(given: argparse.Namespace) -> int:
    from tunewright.starter import write_recipe

    notes, following = write_recipe(given.data, Path(given.output), given.set)
    out(given, {"recipe": given.output, "notes": notes}, [*notes, f"Wrote {given.output}. Next: {following}"])
    return 0
