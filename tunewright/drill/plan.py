"""What a drill plays: rows to learn from, traffic like them, traffic unlike them, and a recipe.

The real one: the bundled 135M model learns Amazon reviews with LoRA; then customers send sentences of newspaper editorials. Rows are real and were rated by the
same people in the same way (`examples/reviews/README.md`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from tunewright.core.errors import RunError

REVIEWS = Path("examples/reviews")
HELD_OUT = 0.2  # of the reviews, by whole reviews: traffic before the drift
TRAIN_ON = 1800  # sentences, of all the other reviews, so that the drill keeps within minutes


@dataclass(frozen=True)
class Plan:
    """`known` and `drifted` hold text and label of traffic before and after the drift, each row sent once. Counts are of requests."""

    rows: pl.DataFrame
    known: pl.DataFrame
    drifted: pl.DataFrame
    recipe: dict[str, Any]
    calm: int = 400
    drift: int = 720
    labels: int = 700
    wave: int = 140  # of a canary, between two looks
    customers: int = 400
    at_once: int = 8  # requests under way


def real(folder: Path = REVIEWS) -> Plan:
    """The demo's rows and model. Raises `RunError` when the rows are not there."""
    files = [folder / "reviews.csv", folder / "drift.csv"]
    if missing := [one for one in files if not one.is_file()]:
        raise RunError(f"{missing[0]}: the drill needs the rows of the example. Run it in a checkout, or give their folder with --data.")
    reviews, editorials = (pl.read_csv(one, infer_schema=False) for one in files)
    names = reviews["review"].unique().sort().shuffle(seed=5)
    held = names.head(int(HELD_OUT * len(names)))
    rows = reviews.filter(~pl.col("review").is_in(held.implode()))
    known = reviews.filter(pl.col("review").is_in(held.implode())).sample(fraction=1.0, shuffle=True, seed=6)
    return Plan(rows.sample(TRAIN_ON, seed=8), known, editorials.sample(fraction=1.0, shuffle=True, seed=7), RECIPE)


# Steps, not minutes, so that a busy machine takes longer but learns the same.
RECIPE: dict[str, Any] = {
    "data": {
        "id": "id",
        "groups": ["review"],
        "instruction": "What does this sentence say about its subject? Answer with one word: negative, neutral or positive.",
    },
    "prepare": {"split": {"train": 0.6, "validation": 0.15, "test": 0.25}},  # a verdict needs 30 reviews in the test
    "tune": {"techniques": ["lora"], "minutes": None, "max_steps": 150, "evaluations": 1, "validation_rows": 150, "metric": "accuracy"},
    "evaluate": {"metric": "accuracy", "baselines": ["majority", "tfidf_logistic"]},
    "explain": {"rows": 2},
    "release": {"probe_rows": 8},
    "serve": {"requests_per_minute": None, "shadow_queue": 256, "traffic": {"url": "sqlite:///traffic.db"}},
    "monitor": {"window": 200, "resamples": 300, "label_maturity_hours": 0},
    "retrain": {
        "min_new_rows": 300,
        "rolling_test": 0.4,
        "replay": 0.5,
        "canary": {"shadow_requests": 30, "shares": [0.5, 1.0], "requests": 40, "worse_by": 0.15},
    },
}
