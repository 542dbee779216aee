"""`tunewright learning-curve RECIPE`: what more rows would buy."""

from __future__ import annotations

import argparse

from tunewright.commands._shared import directory, out, with_recipe, with_run
from tunewright.core.progress import Report
from tunewright.core.recipe import Recipe

HELP = "how many rows do I need? train at growing sizes and say what more would buy"


def arguments(parser: argparse.ArgumentParser) -> None:
    with_recipe(parser)
    with_run(parser)
    parser.add_argument("--system", default="tfidf", metavar="NAME", help="tfidf (seconds), embedding, or a technique such as lora")
    parser.add_argument("--sizes", type=int, default=5, metavar="N", help="sizes, each twice the one before (default 5)")
    parser.add_argument("--seeds", type=int, default=2, metavar="N", help="trainings of each size (default 2)")
    parser.add_argument("--steps", type=int, metavar="N", help="optimiser steps at most, for a technique (default: tune.max_steps, or 120)")
    parser.add_argument("--test-rows", type=int, default=1000, metavar="N", help="rows to score on, at most (default 1000)")
    parser.add_argument("--target", type=float, metavar="SCORE", help="say how many rows this score needs")
    parser.add_argument(
        "--worth", type=float, default=0.01, metavar="GAIN", help="gain of 1,000 rows that is worth labelling (default 0.01)"
    )


def do(given: argparse.Namespace) -> int:
    from tunewright.curve import Question, learning_curve
    from tunewright.tune.trial import system_of

    recipe = Recipe.load(given.recipe, given.set)
    question = Question(
        system_of(recipe, given.system),
        max(3, given.sizes),
        max(1, given.seeds),
        given.steps or recipe.tune.max_steps or 120,
        max(2, given.test_rows),
        given.target,
        given.worth,
    )
    found = learning_curve(recipe, directory(given), question, Report())
    out(given, found.document, found.summary())
    return 0
