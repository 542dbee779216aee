"""A run directory as `prepare` leaves it, around the tiny model: enough for the tune stage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from tunewright.core.executor import LocalExecutor
from tunewright.core.files import write_json, write_parquet
from tunewright.core.ledger import Ledger
from tunewright.core.progress import Report
from tunewright.core.recipe import Recipe
from tunewright.core.run import Context, Run
from tunewright.testing.tiny import tiny_model

GOOD = ["I love it", "great phone, bright screen", "so good", "works well all day", "the best that I have had"]
BAD = ["it broke", "the worst, do not buy", "bad battery", "dead after two weeks", "I want my money back"]
FAST = {"max_steps": 6, "minutes": None, "evaluations": 2, "validation_rows": 10, "per_device_train_batch_size": 4, "workers": 1}


def rows(split: str, copies: int) -> pl.DataFrame:
    texts = [f"{text} {number}" for number in range(copies) for text in (*GOOD, *BAD)]
    labels = (["good"] * len(GOOD) + ["bad"] * len(BAD)) * copies
    count = len(texts)
    return pl.DataFrame(
        {
            "row_id": [f"{split}{i}" for i in range(count)],
            "source": ["rows.csv"] * count,
            "line": list(range(2, count + 2)),
            "text": texts,
            "label": labels,
            "group": list(range(count)),
        }
    )


def small_run(place: Path, model: dict[str, Any] | None = None, **tune: Any) -> Context:
    """A context whose recipe trains on 40 rows; `tune` overrides the fast settings above."""
    directory = place / "run"
    for split, copies in (("train", 4), ("validation", 2), ("test", 2)):
        write_parquet(directory / "prepare" / f"{split}.parquet", rows(split, copies))
    write_json(directory / "prepare" / "summary.json", {"labels": ["bad", "good"]})
    base = tiny_model(place / "model", layers=4)
    recipe = Recipe.check(
        {"data": {"path": "rows.csv"}, "prepare": {"steps": []}, "model": {"base": str(base), **(model or {})}, "tune": FAST | tune},
        folder=place,
    )
    report = Report(quiet=True)
    import yaml

    (directory / "recipe.yaml").write_text(yaml.safe_dump(recipe.model_dump()))
    return Context(recipe, Run(directory), Ledger(directory / "ledger.parquet"), LocalExecutor(report), report)
