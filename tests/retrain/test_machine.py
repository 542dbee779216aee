"""From labelled traffic to a new champion with a real (tiny) model; killed in every step; refused when it is no better."""

import json
import random
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from tests.retrain import story
from tests.retrain.victim import killed
from tunewright.cli import main
from tunewright.core.errors import RunError
from tunewright.core.files import read_json, read_parquet
from tunewright.core.progress import Report
from tunewright.core.run import Run
from tunewright.registry import Registry
from tunewright.retrain import journal, machine, rows, triggers
from tunewright.retrain.recipe import champion_of, known_ids, rivals
from tunewright.traffic.store import TrafficStore

pytestmark = pytest.mark.slow  # they share one run of the whole lifecycle
NEW = story.rows("new", 160)
STEPS = [name for name, _ in machine.STEPS["retrain"]]


def due(registry: Registry, store: TrafficStore, by_hand: bool = False, **settings: object) -> triggers.Due:
    champion = champion_of(registry)
    recipe = champion.recipe.model_copy(update={"retrain": champion.settings.model_copy(update=settings)})
    return triggers.check(
        registry, store, type(champion)(champion.version, champion.release, recipe, champion.run, champion.created), by_hand
    )


def test_accuracy_below_the_objective_is_due_and_few_rows_hold_it_back(registry: Registry, store: TrafficStore):
    story.talk(store, NEW[:20])
    found = due(registry, store)
    assert [one.due for one in found.triggers] == [True, False]
    assert "uniformly sampled mature labels are right" in found.reason
    assert found.held == ["20 new approved rows; at least 60 are needed (retrain.min_new_rows)"]
    assert due(registry, store, by_hand=True).due
    story.talk(store, NEW[20:])
    assert due(registry, store).due


def test_only_uniform_and_mature_labels_judge_accuracy(registry: Registry, store: TrafficStore):
    story.talk(store, NEW[:80], sampled="targeted")
    assert "0 of 0" in due(registry, store).triggers[0].text
    champion = champion_of(registry)
    recipe = champion.recipe.model_copy(update={"monitor": champion.monitor.model_copy(update={"label_maturity_hours": 1})})
    story.talk(store, NEW[80:])
    young = triggers.check(registry, store, type(champion)(1, champion.release, recipe, champion.run, champion.created))
    assert "0 of 0" in young.triggers[0].text


def test_sustained_drift_needs_enough_labels_and_a_schedule_its_time(registry: Registry, store: TrafficStore):
    now = datetime.now(UTC)
    about = {"key": "shop@1/champion/vocabulary", "version": "shop@1", "signal": "vocabulary", "severity": "warning", "state": "open"}
    detail = {"family": "input", "side": "champion", "advice": "look", "moved": []}
    store.add_window(version="shop@1", side="champion", start=now, stop=now, requests=50, drifted=True, signals={})
    store.save_alert({**about, "opened": now, "updated": now, "count": 2, "message": "other words", "detail": detail})
    assert [one.due for one in due(registry, store, triggers=["drift"]).triggers] == [False]
    story.talk(store, NEW[:70], sampled="targeted")
    found = due(registry, store, triggers=["drift", "schedule"], every_hours=1.0)
    assert [one.due for one in found.triggers] == [True, False]
    assert found.due
    later = triggers.check(registry, store, champion_of(registry), now=now + timedelta(hours=30))
    assert later.new_rows == 70
    assert due(registry, store, triggers=["schedule"], every_hours=1e-6).due


def test_cool_down_budget_and_an_attempt_under_way_hold_back(registry: Registry, store: TrafficStore):
    story.talk(store, NEW)
    attempt = machine.start(registry, due(registry, store), "test")
    assert f"attempt {attempt.id} is under way" in due(registry, store, by_hand=True).held[0]
    attempt.end("refused", "for the test")
    held = due(registry, store, max_per_week=1).held
    assert "cool-down 24" in held[0]
    assert "1 attempts in the last seven days; at most 1" in held[1]
    assert due(registry, store, by_hand=True).due


def test_rows_of_a_challenger_keep_what_is_sealed_sealed(registry: Registry, store: TrafficStore, tmp_path: Path):
    champion = champion_of(registry)
    frozen = read_parquet(champion.run.path("prepare", "test.parquet"))
    copies = [
        {"id": "copy", "text": frozen["text"][0].upper(), "label": "yes"},
        {"id": "odd", "text": "quite another thing", "label": "maybe"},
    ]
    story.talk(store, NEW[:100] + copies)
    story.talk(store, NEW[100:], sampled="targeted")
    new = triggers.new_rows(registry, store, champion)
    told = rows.write(champion, new, ["no", "yes"], tmp_path)
    found, left = read_parquet(tmp_path / "rows.parquet"), read_parquet(tmp_path / "left_out.parquet")
    assert sorted(left.select("id", "why").rows()) == [("cls-copy", "near_a_frozen_test_row"), ("cls-odd", "unknown_label")]
    assert found.filter(part="frozen")["id"].sort().to_list() == frozen["row_id"].sort().to_list()
    rolling = found.filter(part="rolling")
    assert abs(len(rolling) - 0.4 * 160) < 20
    assert set(rolling["id"]) <= {f"cls-{one['id']}" for one in NEW[:100]}, "only uniformly sampled rows judge"
    assert told["rolling_sampled"] == ["uniform"]
    old = found.filter(source="rows.csv")
    train = read_parquet(champion.run.path("prepare", "train.parquet"))
    assert 0.35 < int((old["split"] == "train").sum()) / len(train) < 0.65
    assert found.filter(id="cls-new0-0").select("source", "line").row(0) == ("traffic:shop@1", "cls-new0-0")
    again = rows.deal(new.reverse(), champion).sort("id")
    assert again["split"].to_list() == rows.deal(new, champion).sort("id")["split"].to_list()
    assert found["id"].is_unique().all()


def test_without_the_run_nothing_can_be_replayed(registry: Registry):
    champion = champion_of(registry)
    with pytest.raises(RunError, match="is gone, and with it the rows"):
        known_ids(type(champion)(1, champion.release, champion.recipe, Run("nowhere"), champion.created))


def test_when_the_old_winner_no_longer_wins_all_compete(registry: Registry):
    champion = champion_of(registry)
    recipe = champion.recipe.model_copy(update={"tune": champion.recipe.tune.model_copy(update={"techniques": ["lora", "full"]})})
    found = rivals(type(champion)(1, champion.release, recipe, champion.run, champion.created))
    names = [one if isinstance(one, str) else one.get("alias") or one["name"] for one in found]
    assert names == ["full", "full_rate_x0_33", "full_rate_x3", "lora"]
    rates = [one["learning_rate"] for one in found if not isinstance(one, str)]
    assert rates == pytest.approx([0.005, 0.00165, 0.015])


def test_killed_in_every_step_it_ends_as_if_it_never_was(registry: Registry, store: TrafficStore, tmp_path: Path):
    story.talk(store, NEW)
    champion = champion_of(registry)
    looks = len(read_json(champion.run.path("prepare", "seal.json"))["openings"])
    attempt = machine.start(registry, due(registry, store), "test", "the words changed")
    for step in STEPS:
        for turn in range(12):
            code = killed(registry.directory, tmp_path, step)
            if code == -9:
                break
            assert code == 0, step
            story.serve(registry, store, seed=turn)
        assert code == -9, step
        assert not journal.attempts(registry)[0].done(step)
    with journal.single_flight(registry):
        done = machine.advance(registry, store, Report(quiet=True))
    assert done.state == "promoted"
    state = registry.state()
    assert (state.champion, state.previous, list(state.versions)) == (2, (1,), [1, 2])
    gates = {one["name"]: one["passed"] for one in state.versions[2].gates}
    assert gates == {"verdict": True, "rolling": True, "frozen": True, "canary": True}
    lineage = state.versions[2].lineage["retrain"]
    assert lineage["attempt"] == attempt.id
    assert "the words changed" in lineage["reason"]
    assert {one["source"] for one in lineage["rows"]["by_source"]} == {"rows.csv", "traffic:shop@1"}
    assert state.versions[2].parent == 1
    run = Run(attempt.path("run"))
    train = read_parquet(run.path("prepare", "train.parquet"))
    sealed = read_parquet(run.path("prepare", "test.parquet"))
    assert not set(train["row_id"]) & set(sealed["row_id"])
    assert set(read_parquet(champion.run.path("prepare", "test.parquet"))["row_id"]) <= set(sealed["row_id"])
    assert len(read_json(champion.run.path("prepare", "seal.json"))["openings"]) == looks + 1
    assert len(read_json(run.path("prepare", "seal.json"))["openings"]) == looks + 2
    ledger = pl.read_parquet(run.path("ledger.parquet"))
    assert "cls-new0-0" in set(ledger["row_id"])
    second = champion_of(registry)
    old = rows.old_rows(second)
    assert set(old.filter(part="frozen")["id"]) == set(read_parquet(champion.run.path("prepare", "test.parquet"))["row_id"])
    assert set(old.filter(source="traffic:shop@1")["split"]) == {"train", "validation"}
    assert triggers.new_rows(registry, store, second).is_empty()


def test_a_challenger_that_is_no_better_is_refused_with_the_reason(
    registry: Registry, store: TrafficStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    draw = random.Random(1)
    noise = [{**one, "label": draw.choice(["yes", "no"])} for one in story.rows("new", 120, seed=5)]
    story.talk(store, noise)
    words = ["retrain", "shop", "--registry", str(tmp_path / "registry"), "--traffic", f"sqlite:///{tmp_path}/traffic.db", "--json"]
    assert main([*words, "--check"]) == 1
    assert json.loads(capsys.readouterr().out)["due"]
    start = time.monotonic()
    assert main([*words, "--now", "--reason", "try", "--by", "ann"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["state"] == "refused"
    assert "shop@2 does not replace shop@1" in found["text"]
    assert time.monotonic() - start < 60
    state = registry.state()
    assert (state.champion, state.challenger, state.rollout) == (1, None, None)
    assert {one["name"]: one["passed"] for one in state.versions[2].gates}["rolling"] is not True
    assert (
        found["attempt"]["steps"]["choose"]["result"].get("rivals") is None
        or "full" in found["attempt"]["steps"]["choose"]["result"]["rivals"]
    )
    assert main([*words, "--step"]) == 0
    assert main([*words, "--history"]) == 0
    assert '"state": "refused"' in capsys.readouterr().out
