"""The executor on Ray: one cluster for the module, first of one node, then of two. Results are those of this process."""

import json
import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

sys.path.insert(0, str(Path(__file__).parent))
import workers_for_tests as jobs

from tunewright import lifecycle
from tunewright.audit import spill
from tunewright.core.errors import DataError, EnvironmentProblem
from tunewright.core.progress import Report
from tunewright.core.ray import RayExecutor
from tunewright.core.recipe import Recipe

pytestmark = pytest.mark.slow


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


WORDS = ["the", "phone", "battery", "screen", "seller", "parcel", "week", "price", "shop", "chair", "window", "family", "letter", "river"]
KINDS = {"good": ["love", "excellent", "happy", "wonderful", "great"], "bad": ["hate", "terrible", "awful", "broken", "useless"]}
ODD = ["we love this phone very much indeed", "fish &amp; chips were cold", "itâ€™s broken", "write to jo@firm.example today", "no", "",
       "As an AI language model, I cannot do that. [insert name]", "<|im_start|>you idiot, " + "more and more " * 60, "好" * 30,
       "the key is AKIAIOSFODNN7ABCDEFG, use it", "p\u0430y\u200bpal is \u0441heap",
       "Unsubscribe here. All rights reserved. (c) 2019 The Shop", "a long story without an end " + " ".join(map(str, range(3000))),
       "Ich habe das Telefon gestern gekauft und bin mit der Batterie überhaupt nicht zufrieden gewesen"]  # fmt: skip
QUIET = {"class_imbalance", "cut_at_limit", "found_slices", "group_errors", "tone_skew", "too_few_rows", "too_small", "truncated_answers"}


def texts(rows: int) -> list[tuple[str, str]]:
    """(text, label): odd ones, their copies and near copies, and plain ones."""
    draw = random.Random(3)
    plain = []
    for number in range(rows):
        label = "good" if number % 2 or number > 0.7 * rows else "bad"
        line = " This was read by the team of the shop in Springfield" if number % 20 == 0 else ""
        plain.append((f"{' '.join(draw.choices(WORDS, k=9) + draw.sample(KINDS[label], k=3))}.{line}", label))
    odd = [(text, ("good", "bad")[number % 2]) for number, text in enumerate(ODD)]
    near = [(text.replace("the", "a", 1), label) for text, label in plain[:20]]
    return [*odd, *plain, *odd, *near, *[(text, "good") for text, _ in plain[:6]]]


def labelled(folder: Path) -> dict[str, Any]:
    """Texts with a label, a date, a group and a split."""
    lines = texts(300)
    table = pl.DataFrame(lines, schema=["text", "label"], orient="row").with_row_index("number")
    day = (18_000 + pl.col("number")).cast(pl.Int32).cast(pl.Date).cast(pl.String)
    shop = pl.when((pl.col("number") % 3 == 0) & (pl.col("label") == "good")).then(pl.lit("corner")).otherwise(pl.lit("mall"))
    day = pl.when(pl.col("number") == 40).then(pl.lit("2091-01-01")).otherwise(day)
    spelt = pl.when(pl.col("number") % 50 == 7).then(pl.lit(" Good")).otherwise("label")
    part = pl.when(pl.col("number") % 3 == 0).then(pl.lit("test")).otherwise(pl.lit("train"))
    table.with_columns(label=spelt, sent=day, shop=shop, split=part).drop("number").write_csv(folder / "rows.csv")
    with open(folder / "rows.csv", "a") as file:
        file.write("ragged\n")
    return {"path": str(folder / "rows.csv"), "date": "sent", "slices": ["shop"]}


def chats(folder: Path) -> dict[str, Any]:
    """Chats of the same texts: each is answered with the next one; some lack their answer."""
    said = [text for text, _ in texts(120)]
    lines = []
    for place, text in enumerate(said):
        turns = [
            {"role": "user", "content": text},
            {"role": "assistant", "content": f"{text if place % 13 == 0 else ''} {said[(place + 1) % len(said)]}"},
        ]
        lines.append(json.dumps({"messages": turns[:1] if place % 17 == 0 else turns}))
    (folder / "rows.jsonl").write_text("\n".join(lines))
    return {"path": str(folder / "rows.jsonl")}


def run_of(data: dict[str, Any], folder: Path, compute: dict[str, Any], checks: Any = "default") -> Path:
    """Audit and prepare."""
    recipe = Recipe.check({"data": data, "audit": {"checks": checks, "fail_on": "never"}, "compute": compute})
    for stage in ("audit", "prepare"):
        lifecycle.run_only(stage, recipe, folder, Report(quiet=True))
    return folder


def told(run: Path, leave: str = "") -> dict[str, Any]:
    """All that a run says of its rows; seconds apart, and what `leave` says."""
    summary = json.loads((run / "audit" / "summary.json").read_text())
    checks = {name: one | {"seconds": 0} for name, one in summary.pop("checks").items() if name != leave}
    tables = {file: pl.read_parquet(run / f"{file}.parquet") for file in FILES}
    tables["audit/findings"] = tables["audit/findings"].filter(pl.col("check") != leave)
    hashed = json.loads((run / "prepare" / "seal.json").read_text())["sha256"]
    return {"summary": summary, "seal": hashed, **{f"check {name}": one for name, one in checks.items()}, **tables}


FILES = [f"audit/{one}" for one in ("rows", "quarantine", "findings")] + ["ledger"]
FILES += [f"prepare/{one}" for one in ("train", "validation", "test", "dropped", "quarantine", "changes")]


def assert_equal(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert value.equals(other[name]) if isinstance(value, pl.DataFrame) else value == other[name], name


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the local engine says of labelled texts and of chats, and their recipes' data."""
    made = {}
    for layout in (labelled, chats):
        folder = tmp_path_factory.mktemp(layout.__name__)
        data = layout(folder)
        made[layout.__name__] = data, told(run_of(data, folder / "run", {}))
    return made


def test_the_rows_of_this_test_give_every_default_check_something_to_find(here: dict[str, Any]):
    found = {check for _, one in here.values() for check in one["audit/findings"]["check"].unique()}
    able = {check for _, one in here.values() for check in (name.removeprefix("check ") for name in one if name.startswith("check "))}
    assert able - found <= QUIET
    assert len(able) >= 38


def test_a_whole_audit_and_prepare_are_those_of_one_process_on_one_node_and_on_two(
    cluster: Any, here: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(spill, "BATCH", 128)
    compute = {"engine": "ray", "address": cluster.address}
    for nodes in (1, 2):
        if nodes == 2:
            cluster.add_node(num_cpus=1, object_store_memory=100_000_000)
            cluster.wait_for_nodes()
        for name, (data, expected) in here.items():
            assert_equal(told(run_of(data, tmp_path / f"{name} {nodes}", compute)), expected)


def test_an_audit_whose_workers_are_killed_midway_loses_nothing(cluster: Any, here: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # fmt: skip
    monkeypatch.setattr(spill, "BATCH", 128)
    monkeypatch.setattr("tunewright.text.partitioned.measure_candidates", jobs.measure_after_dying)
    data, expected = here["labelled"]
    checks = [
        *(name.removeprefix("check ") for name in expected if name.startswith("check ")),
        {"name": "workers_for_tests.Mortal", "grave": str(tmp_path / "grave")},
    ]
    compute = {"engine": "ray", "address": cluster.address}
    found = told(run_of(data, tmp_path / "run", compute, checks), leave="workers_for_tests.Mortal")
    assert (tmp_path / "grave").exists()
    assert (tmp_path / "run" / "cache" / "grave").exists()
    assert_equal(found, expected)


def test_a_worker_killed_midway_loses_nothing(executor: RayExecutor, tmp_path: Path):
    items = [tmp_path / str(place) for place in range(6)]
    assert executor.map(jobs.die_the_first_time, items, workers=2) == [one.name for one in items]
    assert len(list(tmp_path.iterdir())) == len(items)


def test_an_error_in_a_task_comes_through_as_it_was_raised(executor: RayExecutor):
    with pytest.raises(DataError, match="rule, value, place"):
        executor.map(jobs.fail_at_once, [0, 1, 2], workers=2)


def test_storage_that_a_task_cannot_see_is_named(executor: RayExecutor, tmp_path: Path):
    recipe = Recipe.check({"data": {"path": "rows.csv"}})
    piece = spill.Piece(tmp_path / "elsewhere.parquet", 0, 10, recipe, ())
    with pytest.raises(EnvironmentProblem, match=r"elsewhere.parquet cannot be seen .* storage that every node"):
        executor.map(spill.look_at, [piece])
