"""A small run directory for the evaluate stage, and its context."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import yaml

from tunewright.core.executor import LocalExecutor
from tunewright.core.ledger import Ledger
from tunewright.core.parts import Metric
from tunewright.core.progress import Report
from tunewright.core.recipe import Recipe
from tunewright.core.run import Context, Run
from tunewright.core.score import Predictions

LABELS = ["bad", "good"]
GOOD = ["I love it", "great phone, bright screen", "so good", "works well all day", "the best that I have had"]
BAD = ["it broke", "the worst, do not buy", "bad battery", "dead after two weeks", "I want my money back"]


class LongestLabel(Metric):
    """A user's own metric."""

    def compute(self, predictions: Predictions) -> int:
        return max(map(len, predictions.labels))


def rows(split: str, copies: int) -> pl.DataFrame:
    texts = [f"{text} {number}" for number in range(copies) for text in (*GOOD, *BAD)]
    count = len(texts)
    return pl.DataFrame(
        {
            "row_id": [f"{split}{i}" for i in range(count)],
            "source": ["rows.csv"] * count,
            "line": list(range(2, count + 2)),
            "text": texts,
            "label": (["good"] * len(GOOD) + ["bad"] * len(BAD)) * copies,
            "group": [i // 2 for i in range(count)],
        }
    )


def context_of(directory: Path) -> Context:
    recipe = Recipe.check(yaml.safe_load((directory / "recipe.yaml").read_text()))
    report = Report(quiet=True)
    return Context(recipe, Run(directory), Ledger(directory / "ledger.parquet"), LocalExecutor(report), report)


def change_recipe(directory: Path, **evaluate: object) -> Context:
    values = yaml.safe_load((directory / "recipe.yaml").read_text())
    values["evaluate"] |= evaluate
    (directory / "recipe.yaml").write_text(yaml.safe_dump(values))
    return context_of(directory)
