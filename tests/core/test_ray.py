"""The executor on Ray: one cluster for the module, first of one node, then of two. Results are those of this process."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

sys.path.insert(0, str(Path(__file__).parent))
import workers_for_tests as jobs

from tunewright.audit import audit_rows, spill
from tunewright.audit.spill import audit_on_disk, read_within
from tunewright.core.errors import DataError, EnvironmentProblem
from tunewright.core.executor import LocalExecutor
from tunewright.core.progress import Report
from tunewright.core.ray import RayExecutor
from tunewright.core.recipe import Recipe
from tunewright.sources import read_rows

pytestmark = pytest.mark.slow
CHECKS = ["short_text", "html_remnants", "encoding_damage", "personal_data", "near_duplicates", "exact_duplicates", "class_imbalance"]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    ray = pytest.importorskip("ray")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False, "object_store_memory": 100_000_000})
    yield made
    ray.shutdown()
    made.shutdown()


@pytest.fixture
def executor(cluster: Any) -> RayExecutor:
    return RayExecutor(Report(quiet=True), cluster.address)


def audited(folder: Path, executor: RayExecutor) -> pl.DataFrame:
    recipe = recipe_for(folder, engine="ray")
    found = read_within(recipe.data, recipe.compute, folder / "rows.parquet", Report(quiet=True))
    assert isinstance(found, spill.OnDisk)
    return audit_on_disk(found, recipe, Report(quiet=True), executor, folder / "cache").findings


def recipe_for(folder: Path, **compute: Any) -> Recipe:
    texts = ["we love this phone very much indeed", "fish &amp; chips were cold", "itâ€™s broken", "write to jo@firm.example today", "no"]
    lines = [f"{text} {place // 3}" for place, text in enumerate(texts * 30)]
    pl.DataFrame({"text": lines, "label": ["good", "bad", "bad"] * 50}).write_csv(folder / "rows.csv")
    return Recipe.check({"data": {"path": str(folder / "rows.csv")}, "audit": {"checks": CHECKS}, "compute": compute})


def test_results_are_those_of_one_process_on_one_node_and_on_two(
    cluster: Any, executor: RayExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(spill, "BATCH", 32)
    recipe, report = recipe_for(tmp_path), Report(quiet=True)
    here = audit_rows(read_rows(recipe.data), recipe, report, LocalExecutor(report)).findings
    assert len(here["check"].unique()) >= 6
    one = audited(tmp_path, executor)
    assert executor.slots() == 1
    cluster.add_node(num_cpus=1, object_store_memory=100_000_000)
    cluster.wait_for_nodes()
    two = audited(tmp_path, executor)
    assert executor.slots() == 2
    assert one.equals(here)
    assert two.equals(here)


def test_a_worker_killed_midway_loses_nothing(executor: RayExecutor, tmp_path: Path):
    items = [tmp_path / str(place) for place in range(6)]
    assert executor.map(jobs.die_the_first_time, items, workers=2) == [one.name for one in items]
    assert len(list(tmp_path.iterdir())) == len(items)


def test_an_error_in_a_task_comes_through_as_it_was_raised(executor: RayExecutor):
    with pytest.raises(DataError, match="rule, value, place"):
        executor.map(jobs.fail_at_once, [0, 1, 2], workers=2)


def test_storage_that_a_task_cannot_see_is_named(executor: RayExecutor, tmp_path: Path):
    piece = spill.Piece(tmp_path / "elsewhere.parquet", 0, 10, recipe_for(tmp_path), ())
    with pytest.raises(EnvironmentProblem, match=r"elsewhere.parquet cannot be seen .* storage that every node"):
        executor.map(spill.look_at, [piece])
