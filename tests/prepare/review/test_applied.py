"""From a decision to the ledger: prepare does what was decided, once the recipe asks for it."""

from pathlib import Path

import polars as pl
import pytest

from tunewright import lifecycle
from tunewright.core.progress import Report
from tunewright.core.recipe import Recipe
from tunewright.core.run import Run
from tunewright.prepare.review import Review

RECIPE = {
    "audit": {"checks": ["short_text"], "fail_on": "never"},
    "prepare": {"steps": ["apply_reviews", "drop_empty"], "split": {"train": 0.6, "validation": 0.2, "test": 0.2}},
}


@pytest.fixture
def reviewed(tmp_path: Path) -> tuple[Recipe, Run, list[str]]:
    lines = [
        f"number {one} says {'yes please' if one % 2 else 'no thanks'} to {one * one},{'yes' if one % 2 else 'no'}" for one in range(60)
    ]
    (tmp_path / "rows.csv").write_text("\n".join(["text,label", *lines]) + "\n")
    recipe = Recipe.check({"data": {"path": str(tmp_path / "rows.csv")}, **RECIPE})
    run = lifecycle.run(recipe, tmp_path / "run", until="prepare", report=Report(quiet=True))
    review = Review(run)
    ids = review.rows.frame["row_id"].head(3).to_list()
    label = review.rows.find(ids[0])["label"]
    review.decide(ids[0], "relabel", "anna", value="yes" if label == "no" else "no")
    review.decide(ids[1], "drop", "anna")
    review.decide(ids[2], "drop", "anna")
    review.decide(ids[2], "accept", "ben")
    return recipe, lifecycle.run(recipe, run.directory, until="prepare", report=Report(quiet=True)), ids


def test_agreed_decisions_change_rows_and_say_who(reviewed: tuple[Recipe, Run, list[str]]):
    _, run, ids = reviewed
    lines = pl.read_parquet(run.path("ledger.parquet")).filter(pl.col("reason") == "review")
    assert dict(lines.select("row_id", "action").iter_rows()) == {ids[0]: "relabelled", ids[1]: "dropped"}
    assert lines["detail"].str.contains("by anna at").all()


def test_a_conflict_changes_nothing(reviewed: tuple[Recipe, Run, list[str]]):
    _, run, ids = reviewed
    kept = pl.read_parquet(run.path("ledger.parquet")).filter((pl.col("stage") == "prepare") & (pl.col("row_id") == ids[2]))
    assert kept["action"].to_list() == ["kept"]


def test_without_new_decisions_prepare_is_not_run_again(reviewed: tuple[Recipe, Run, list[str]]):
    recipe, run, _ = reviewed
    before = run.done("prepare")
    lifecycle.run(recipe, run.directory, until="prepare", report=Report(quiet=True))
    assert run.done("prepare") == before
