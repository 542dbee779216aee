"""Shadow, canary, promotion, watch: what lets a challenger on, what stops it, by chance and surely."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.retrain import story
from tunewright.core import sequential
from tunewright.core.errors import RunError
from tunewright.core.loop import CanarySettings
from tunewright.core.progress import Report
from tunewright.registry import Registry
from tunewright.retrain import journal, machine, rollout
from tunewright.traffic.record import Feedback
from tunewright.traffic.store import TrafficStore

QUIET = Report(quiet=True)
SETTINGS = CanarySettings(requests=100, worse_by=0.1)


def begin(registry: Registry) -> journal.Attempt:
    return machine.start_rollout(registry, "2", "ann", "try it")


def step(registry: Registry, store: TrafficStore) -> machine.Progress:
    with journal.single_flight(registry):
        return machine.advance(registry, store, QUIET)


def climb(registry: Registry, store: TrafficStore, until: str = "promoted", bad: Any = None) -> list[str]:
    """Serve and step until the attempt ends; the states of the registry on the way."""
    seen = []
    for turn in range(20):
        done = step(registry, store)
        now = registry.state()
        seen.append(f"{now.rollout.mode} {now.rollout.share:g}" if now.rollout else f"champion {now.champion}")
        if done.state != "waiting":
            assert done.state == until, done.attempt.document if done.attempt else done
            return seen
        story.serve(registry, store, bad=bad, seed=turn)
    raise AssertionError(seen)


def promoted(registry: Registry, store: TrafficStore) -> None:
    """Version 2 is the champion, and still watched."""
    begin(registry)
    for turn in range(10):
        if "watch" in step(registry, store).waiting:
            break
        story.serve(registry, store, seed=turn)
    assert registry.state().champion == 2


def test_a_good_version_climbs_to_champion(mocked: Registry, store: TrafficStore):
    begin(mocked)
    assert list(dict.fromkeys(climb(mocked, store))) == ["shadow 1", "canary 0.5", "canary 1", "champion 2"]
    assert mocked.state().versions[2].gates[-1]["passed"] is True
    assert [one["action"] for one in mocked.history()][-2:] == ["record_gates", "promote"]
    assert step(mocked, store).state == "idle"


def test_errors_abort_and_the_champion_alone_answers(mocked: Registry, store: TrafficStore):
    begin(mocked)
    fails = {"status": 500, "error": "engine_error", "label": None, "answer": None}
    climb(mocked, store, "aborted", lambda version: fails if version == "shop@2" else {})
    state = mocked.state()
    assert (state.champion, state.challenger, state.rollout) == (1, None, None)
    assert state.versions[2].gates[-1]["passed"] is False
    assert "surely worse: errors (40 of 40 failed, the champion 0 of 40; loss" in state.versions[2].gates[-1]["text"]
    assert "surely worse" in mocked.history()[-1]["reason"]


@pytest.mark.parametrize("signal", ["format", "thumbs", "accuracy"])
def test_other_signals_abort_a_canary(mocked: Registry, store: TrafficStore, signal: str):
    begin(mocked)
    step(mocked, store)
    story.serve(mocked, store)
    assert "canary" in step(mocked, store).waiting
    formats = (lambda version: {"format_ok": version == "shop@1"}) if signal == "format" else None
    story.serve(mocked, store, bad=formats, seed=9)
    since = mocked.state().rollout
    assert since is not None
    rows = store.exchanges(sides=["champion", "challenger"]).filter(
        store.exchanges(sides=["champion", "challenger"])["id"].str.contains("-9-")
    )
    words = []
    for name, version, when in rows.select("id", "version", "time").iter_rows():
        good = version == "shop@1"
        if signal == "thumbs":
            words.append(Feedback(name, "thumb", "up" if good else "down", when))
        elif signal == "accuracy":
            words.append(Feedback(name, "label", "yes" if good else "no", when))
    store.add_feedback(words)
    done = step(mocked, store)
    assert done.state == "aborted"
    assert f"surely worse: {signal} (40 of 40 {rollout.BAD[signal]}, the champion 0 of 40; loss" in done.attempt.document["outcome"]  # type: ignore[union-attr]


def test_labels_make_pairs_in_the_shadow(mocked: Registry, store: TrafficStore):
    begin(mocked)
    step(mocked, store)
    story.serve(mocked, store, bad=lambda version: {"label": "yes" if version == "shop@1" else "no"})
    words = [Feedback(one, "label", "yes", when) for one, when in store.exchanges(sides="champion").select("id", "time").iter_rows()]
    store.add_feedback(words)
    done = step(mocked, store)
    assert done.state == "aborted"
    assert "the champion alone is right 40 times, the challenger 0" in done.attempt.document["outcome"]  # type: ignore[union-attr]


def test_a_champion_that_turns_out_worse_is_rolled_back(mocked: Registry, store: TrafficStore):
    promoted(mocked, store)
    with store.writer() as writer:
        for number in range(40):
            writer.log(story.exchange(f"late{number}", f"text {number}", "shop@2", status=503))
    assert step(mocked, store).state == "rolled_back"
    assert mocked.state().champion == 1
    assert "surely worse: errors" in mocked.history()[-1]["reason"]


def test_labels_that_come_after_the_promotion_roll_it_back(mocked: Registry, store: TrafficStore):
    promoted(mocked, store)
    answers = store.exchanges(sides=["champion", "challenger"]).select("id", "version", "label", "time")
    assert set(answers["version"]) == {"shop@1", "shop@2"}
    truth = {"shop@1": {"yes": "yes", "no": "no"}, "shop@2": {"yes": "no", "no": "yes"}}
    store.add_feedback([Feedback(one, "label", truth[version][said], when) for one, version, said, when in answers.iter_rows()])
    done = step(mocked, store)
    assert (done.state, mocked.state().champion) == ("rolled_back", 1)
    assert "surely worse: accuracy (" in mocked.history()[-1]["reason"]
    assert mocked.state().versions[2].gates[-1]["passed"] is False


def test_what_people_change_by_hand_ends_the_attempt(mocked: Registry, store: TrafficStore):
    begin(mocked)
    step(mocked, store)
    mocked.end_rollout(reason="no", by="bob")
    done = step(mocked, store)
    assert done.attempt is not None
    assert done.attempt.document["outcome"] == "shadow: the rollout was ended or changed by hand"
    begin(mocked)
    step(mocked, store)
    with journal.single_flight(mocked):
        machine.abort(mocked, "enough", "bob")
    assert (mocked.state().rollout, step(mocked, store).state) == (None, "idle")
    with pytest.raises(RunError, match="no attempt is under way"):
        machine.abort(mocked, "enough", "bob")


def test_only_one_process_at_a_time_and_one_attempt(mocked: Registry):
    begin(mocked)
    with pytest.raises(RunError, match="an attempt is under way"):
        begin(mocked)
    with journal.single_flight(mocked), pytest.raises(journal.Busy, match="another process"), journal.single_flight(mocked):
        pass


def test_the_same_prompt_of_the_same_caller_counts_once(mocked: Registry, store: TrafficStore):
    with store.writer() as writer:
        for number in range(30):
            writer.log(story.exchange(number, "again", "shop@1", caller="one", status=500))
        writer.log(story.exchange(99, "bad request", "shop@1", status=422))
    counts, _ = rollout.counts_of(store, "shop@1", "shop@2", store.exchanges()["time"][0])
    assert counts["errors"] == ((1, 1), (0, 0))


def test_stragglers_of_the_old_champion_do_not_stand_for_it(mocked: Registry, store: TrafficStore):
    with store.writer() as writer:
        for number in range(31):
            writer.log(story.exchange(number, f"text {number}", "shop@1", status=500 if number == 30 else 200))
    times = store.exchanges(versions="shop@1")["time"].sort()
    alone, _ = rollout.counts_of(store, "shop@1", "shop@2", times[30])
    since_the_canary, _ = rollout.counts_of(store, "shop@1", "shop@2", times[30], times[0])
    assert (alone["errors"][0], since_the_canary["errors"][0]) == ((1, 1), (1, 31))


def peek(champion: float, challenger: float, runs: int, most: int, share: float, seed: int) -> tuple[float, float]:
    """Of many simulated steps, looked at after every 5th request: the shares that abort, and that go on, on one signal."""
    rng, alpha = np.random.default_rng(seed), rollout.alpha_of(SETTINGS)
    to_second = rng.random((runs, most)) < share
    bad = rng.random((runs, most)) < np.where(to_second, challenger, champion)
    n2, n1 = np.cumsum(to_second, axis=1)[:, ::5], np.cumsum(~to_second, axis=1)[:, ::5]
    s2, s1 = np.cumsum(bad & to_second, axis=1)[:, ::5], np.cumsum(bad & ~to_second, axis=1)[:, ::5]
    loss, bound = s2 / np.maximum(1, n2) - s1 / np.maximum(1, n1), np.log(1 / alpha)
    aborts = (loss > 0) & (sequential.against(0.0, s1, n1, s2, n2) >= bound)
    ruled_out = (loss < SETTINGS.worse_by) & (sequential.against(SETTINGS.worse_by, s1, n1, s2, n2) >= bound)
    passes = ruled_out & (n2 >= SETTINGS.requests) & (np.cumsum(aborts, axis=1) == 0)
    first_abort = np.where(aborts.any(axis=1), aborts.argmax(axis=1), most)
    first_pass = np.where(passes.any(axis=1), passes.argmax(axis=1), most)
    return float((first_abort < first_pass).mean()), float((first_pass < first_abort).mean())


@pytest.mark.parametrize("share", [0.05, 0.5])
def test_peeking_at_every_look_keeps_false_aborts_and_false_passes_rare(share: float):
    for rate in (0.01, 0.2):
        aborts, _ = peek(rate, rate, 300, 2000, share, 1)
        assert aborts <= 1 - SETTINGS.confidence
    _, passes = peek(0.02, 0.02 + SETTINGS.worse_by, 300, 2000, share, 2)
    assert passes <= 1 - SETTINGS.confidence


def test_a_challenger_that_is_no_worse_gets_on_and_a_bad_one_is_stopped():
    aborts, passes = peek(0.005, 0.005, 200, 3000, 0.2, 3)
    assert (aborts, passes) == (0.0, pytest.approx(1.0, abs=0.02))
    aborts, passes = peek(0.02, 0.4, 200, 3000, 0.2, 4)
    assert (aborts, passes) == (1.0, 0.0)


def test_the_simulation_decides_as_the_machine_does():
    calm = {"errors": ((0, 400), (0, 150))}
    assert rollout.judge(calm, 150, SETTINGS).action == "next"
    assert rollout.judge(calm, 99, SETTINGS).action == "wait"
    assert rollout.judge({"errors": ((0, 400), (60, 150))}, 150, SETTINGS).action == "abort"
    unclear = rollout.judge({"errors": ((40, 400), (20, 150))}, 150, SETTINGS)
    assert unclear.action == "wait"
    assert "is not ruled out yet: errors (20 of 150 failed, the champion 40 of 400; loss" in unclear.text
    assert rollout.judge({"errors": ((200, 4000), (240, 2000))}, 2000, SETTINGS).action == "abort"
    late = rollout.judge({"errors": ((400, 4000), (190, 1000)), "accuracy": ((5, 10), (4, 10))}, 2000, SETTINGS)
    assert late.action == "abort"
    few = rollout.judge(calm | {"accuracy": ((3, 20), (5, 20))}, 150, SETTINGS)
    assert few.action == "next"
    bad = rollout.judge(calm | {"accuracy": ((3, 20), (8, 20))}, 150, SETTINGS)
    assert bad.action == "wait", "a loss that is seen, but not sure, waits for more labels"
    assert rollout.judge(calm | {"accuracy": ((3, 20), (8, 20))}, 2000, SETTINGS).action == "abort"


def test_what_can_never_be_ruled_out_ends(mocked: Registry):
    counts = {"errors": ((0, 30), (0, 2000))}
    found = rollout.judge(counts, 2000, CanarySettings(requests=100, worse_by=0.001))
    assert found.action == "abort"
    assert "cannot be ruled out with 2000 requests" in found.text


def test_the_journal_is_on_disk(mocked: Registry, store: TrafficStore, tmp_path: Path):
    attempt = begin(mocked)
    step(mocked, store)
    files = {one.name for one in attempt.directory.iterdir()}
    assert files == {"journal.json", "events.jsonl"}
    assert journal.attempts(mocked)[0].document["steps"]["shadow"]["notes"]["since_0"]
