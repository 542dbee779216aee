"""`tunewright init DATA`: a first look, and a recipe to start from."""

from __future__ import annotations

import argparse
from pathlib import Path

from tunewright.commands._shared import out

HELP = "look at the data and write a commented recipe"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", metavar="DATA")
    parser.add_argument("-o", "--output", default="recipe.yaml", metavar="FILE")


def do(given: argparse.Namespace) -> int:
    from tunewright.starter import write_recipe

    notes = write_recipe(Path(given.data), Path(given.output))
    out(given, {"recipe": given.output, "notes": notes}, [*notes, f"Wrote {given.output}. Next: tunewright run {given.output}"])
    return 0
