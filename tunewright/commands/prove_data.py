"""`tunewright prove-data RECIPE`: train on raw, prepared and random rows, and compare."""

from __future__ import annotations

import argparse

from tunewright.commands._shared import directory, out, with_recipe, with_run
from tunewright.core.progress import Report
from tunewright.core.recipe import Recipe

HELP = "did preparing the rows help? raw, prepared and random rows on one fixed test"


def arguments(parser: argparse.ArgumentParser) -> None:
    with_recipe(parser)
    with_run(parser)
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="trainings of each arm (default 3)")
    parser.add_argument("--arms", metavar="A,B,...", help="raw, random, without_STEP, random_curate (default: all that the recipe has)")
    parser.add_argument(
        "--technique", metavar="NAME", help="a technique, or a baseline such as tfidf (default: the recipe's first technique)"
    )
    parser.add_argument("--steps", type=int, metavar="N", help="optimiser steps of each training (default: tune.max_steps, or 60)")
    parser.add_argument("--test-rows", type=int, default=500, metavar="N", help="rows to compare on, at most (default 500)")


def do(given: argparse.Namespace) -> int:
    from tunewright.prove import Budget, prove
    from tunewright.tune.trial import system_of

    recipe = Recipe.load(given.recipe, given.set)
    steps = given.steps or recipe.tune.max_steps or 60
    budget = Budget(system_of(recipe, given.technique), steps, max(1, given.seeds), max(2, given.test_rows))
    proof = prove(recipe, directory(given), budget=budget, arms=given.arms.split(",") if given.arms else None, report=Report())
    out(given, proof.document, proof.summary())
    return 0
