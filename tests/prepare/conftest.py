"""Rows as the audit leaves them, in a run directory."""

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from tunewright.core.executor import LocalExecutor
from tunewright.core.files import write_parquet
from tunewright.core.ledger import Ledger
from tunewright.core.parts import Look
from tunewright.core.progress import Report
from tunewright.core.recipe import Recipe
from tunewright.core.run import Context, Run


def frame(texts: list[str | None], labels: list[str], **more: list[str | None]) -> pl.DataFrame:
    numbers = range(len(texts))
    columns = {"row_id": [f"r{one}" for one in numbers], "source": ["rows.csv"] * len(texts), "line": [one + 2 for one in numbers]}
    kinds = {"row_id": pl.String, "source": pl.String, "line": pl.Int64, "text": pl.String, "label": pl.String}
    return pl.DataFrame(columns | {"text": texts, "label": labels} | more, schema=kinds | dict.fromkeys(more, pl.String))


@pytest.fixture
def rows_of() -> Callable[..., pl.DataFrame]:
    return frame


@pytest.fixture
def context(tmp_path: Path) -> Callable[..., Context]:
    def make(rows: pl.DataFrame, groups: tuple[str, ...] = (), **prepare: object) -> Context:
        run, report = Run(tmp_path / "run"), Report(quiet=True)
        write_parquet(run.path("audit", "rows.parquet"), rows)
        recipe = Recipe.check({"data": {"path": "rows.csv", "groups": list(groups)}, "prepare": prepare})
        return Context(recipe, run, Ledger(run.path("ledger.parquet")), LocalExecutor(report), report)

    return make


@pytest.fixture
def look() -> Look:
    report = Report(quiet=True)
    return Look(Recipe.check({"data": {"path": "rows.csv"}}), report, LocalExecutor(report), lambda: None)
