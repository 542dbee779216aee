"""The drill with a tiny model: the same acts, a real server, in less than a minute; and that it fails when a step does not happen."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.retrain import story
from tunewright.cli import main
from tunewright.core.errors import RunError
from tunewright.core.files import read_json
from tunewright.core.progress import Report
from tunewright.core.run import Run
from tunewright.drill import acts, plan
from tunewright.drill.timeline import DrillFailed, Timeline
from tunewright.registry import Registry
from tunewright.testing.tiny import tiny_model

QUIET = Report(quiet=True)


def frame(kind: str, count: int, seed: int) -> pl.DataFrame:
    return pl.DataFrame(story.rows(kind, count, seed))


def tiny_plan(folder: Path, **changed: Any) -> plan.Plan:
    tiny_model(folder / "tiny")
    recipe = story.values(folder)
    recipe["data"] = {"id": "id"}
    recipe["serve"] = {"requests_per_minute": None, "shadow_queue": 256, "traffic": {"url": "sqlite:///traffic.db", "keep": "text"}}
    recipe["retrain"] = {
        "min_new_rows": 80,
        "rolling_test": 0.4,
        "canary": {"shadow_requests": 20, "shares": [0.5, 1.0], "requests": 20, "worse_by": 0.3},
    }
    counts: dict[str, Any] = {"calm": 130, "drift": 240, "labels": 200, "wave": 120, "customers": 60}
    rows = {"rows": frame("old", 400, 0), "known": frame("old", 200, 1), "drifted": frame("new", 2000, 2)}
    return plan.Plan(**{**rows, "recipe": recipe, **counts, **changed})


@pytest.mark.slow
def test_the_loop_closes_and_every_line_has_its_evidence(tmp_path: Path):
    line = acts.play(tiny_plan(tmp_path), tmp_path / "drill", QUIET)
    steps = list(dict.fromkeys(one["step"] for one in line.lines))
    wanted = [
        "release",
        "serve",
        "traffic",
        "monitor",
        "detect",
        "drift",
        "label",
        "trigger",
        "retrain",
        "gate",
        "shadow",
        "parity",
        "canary",
    ]
    assert steps == [*wanted, "promote", "damaged", "bad", "catch", "rollback", "late", "end"]
    caught = [one["what"].split(":")[0] for one in line.lines if one["step"] == "catch"]
    assert caught == ["the canary aborts", "labels arrive, and the watch rolls back"]
    assert all(one["evidence"] for one in line.lines[1:])
    registry = Registry(tmp_path / "drill" / "registry" / "reviews")
    state = registry.state()
    assert (state.champion, state.challenger, state.rollout) == (2, None, None)
    assert {one["name"]: one["passed"] for one in state.versions[2].gates}["parity of endpoint"] is True
    assert [(one["name"], one["passed"]) for one in state.versions[3].gates] == [("parity of endpoint", False)]
    assert [(one["name"], one["passed"]) for one in state.versions[4].gates] == [("canary", False)]
    assert [(one["name"], one["passed"]) for one in state.versions[5].gates] == [("canary", False)]
    assert [one["version"] for one in registry.history() if one["action"] in ("promote", "rollback")] == [1, 2, 5, 2]
    kinds = [
        (one["kind"], one["state"]) for one in (read_json(path) for path in sorted((registry.directory / "retrain").glob("*/journal.json")))
    ]
    assert kinds == [("retrain", "promoted"), ("rollout", "refused"), ("rollout", "aborted"), ("rollout", "rolled_back")]
    told = [json.loads(text) for text in (tmp_path / "drill" / "timeline.jsonl").read_text().splitlines()]
    assert told == line.lines
    assert ", 0 failed" in told[-1]["evidence"]


@pytest.mark.slow
def test_without_drift_the_drill_fails_and_says_at_which_step(tmp_path: Path, first_run: Run, monkeypatch: pytest.MonkeyPatch):
    def made(plan: plan.Plan, folder: Path, registry: Registry, line: Timeline) -> None:
        registry.register(first_run.path("release"), run=first_run.directory, reason="test", by="test")
        registry.promote(1, reason="test", by="test")

    monkeypatch.setattr(acts, "release", made)
    same = tiny_plan(tmp_path, drifted=frame("old", 400, 2), drift=120)
    with pytest.raises(DrillFailed, match="drill: detect: a drift alert did not happen: none after 120 drifted requests"):
        acts.play(same, tmp_path / "drill", QUIET)
    assert json.loads((tmp_path / "drill" / "timeline.jsonl").read_text().splitlines()[-1])["what"].startswith("FAILED")


def test_the_real_plan_keeps_its_rows_apart():
    real = plan.real(Path("examples/reviews"))
    assert len(real.rows) == plan.TRAIN_ON
    assert not set(real.rows["review"]) & set(real.known["review"])
    assert len(real.known) >= real.calm
    assert len(real.drifted) >= real.drift + 16 * real.wave
    assert set(real.drifted["label"]) == set(real.rows["label"])


def test_missing_rows_and_a_used_folder_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(RunError, match="the drill needs the rows of the example"):
        plan.real(tmp_path)
    (tmp_path / "used").write_text("x")
    assert main(["drill", "--folder", str(tmp_path)]) == 2
    assert "must be new or an empty folder" in capsys.readouterr().err


def test_a_claim_that_does_not_hold_ends_the_drill(tmp_path: Path):
    line = Timeline(tmp_path / "timeline.jsonl", QUIET)
    line.require(True, "step", "fine", "")
    with pytest.raises(DrillFailed, match="drill: step: this did not happen: that"):
        line.require(False, "step", "this", "that")


def test_scrambled_weights_are_another_release_with_hashes_in_order(tmp_path: Path):
    from tests.serve.house import make_release

    release = make_release(tmp_path / "good")
    _weights(release)
    broken = acts.scrambled(release, tmp_path / "broken")
    manifest = read_json(broken / "manifest.json")
    assert (manifest["approved"], manifest["verdict"]) == (False, "DON'T SHIP")
    registry = Registry(tmp_path / "registry" / "shop")
    version = registry.register(broken, reason="test", by="test")
    with pytest.raises(RunError, match="it is not approved"):
        registry.promote(version, reason="test", by="test")


def _weights(release: Path) -> None:
    import torch
    from safetensors.torch import save_file

    save_file({"w": torch.arange(12.0).reshape(3, 4)}, release / "adapter_model.safetensors")
