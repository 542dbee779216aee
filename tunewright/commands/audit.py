"""`tunewright audit RECIPE_OR_DATA`: the stage of a recipe, or a look at a data file that writes nothing."""

from __future__ import annotations

import argparse
from pathlib import Path

from tunewright.commands._shared import out, with_recipe, with_run
from tunewright.commands._stage import do_stage
from tunewright.core.errors import RunError
from tunewright.core.progress import Report
from tunewright.core.recipe import Recipe

HELP = "only the stage audit (of a recipe, or of a data file)"


def arguments(parser: argparse.ArgumentParser) -> None:
    with_recipe(parser, "RECIPE_OR_DATA")
    with_run(parser)


def do(given: argparse.Namespace) -> int:
    if Path(given.recipe).suffix.lower() in (".yaml", ".yml"):
        return do_stage("audit")(given)
    if given.run:
        raise RunError("--run goes with a recipe; auditing a data file writes nothing. `tunewright init DATA` makes a recipe.")
    from tunewright.audit import audit_frame
    from tunewright.starter import guess_settings

    values, _ = guess_settings(given.recipe, given.set)
    values["path"] = given.recipe
    result = audit_frame(Recipe.check({"data": values}, "command line", overrides=given.set), report=Report())
    out(given, {"summary": result.summary(), "failed": result.failed, "counts": result.counts}, result.summary())
    return 1 if result.failed else 0
