"""The acts of the drill, in order. Each does its part for real, measures, tells, and fails the drill when it did not happen."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tunewright import lifecycle
from tunewright.core.files import read_json, sha256_file, write_json, write_parquet
from tunewright.core.loop import EndpointSettings
from tunewright.core.optional import require
from tunewright.core.progress import Report
from tunewright.core.recipe import Recipe
from tunewright.drill.plan import Plan
from tunewright.drill.shop import Answer, Shop, right, server
from tunewright.drill.timeline import Heard, Timeline
from tunewright.monitor.history import history
from tunewright.monitor.result import status
from tunewright.monitor.rounds import Watch
from tunewright.monitor.target import Target
from tunewright.registry import Registry
from tunewright.report import write_watch
from tunewright.retrain import journal, machine, triggers
from tunewright.retrain.recipe import champion_of
from tunewright.traffic.read import Filter
from tunewright.traffic.store import TrafficStore

MODEL, BY = "reviews", "drill"
PROBES = 32  # validation rows that a challenger answers at the endpoint before it gets customers
TURNS = 40  # looks at a rollout before the drill gives up
STORED_SECONDS = 0.3  # from an answer to its row in the store, which takes a third of that
SETTLE_SECONDS = 1.1  # from a row to the monitor's windows, and from registry.json to the server


@dataclass
class Stage:
    """What the acts share. `known` and `drifted` count the rows that were sent."""

    plan: Plan
    folder: Path
    registry: Registry
    store: TrafficStore
    shop: Shop
    line: Timeline
    sent: Counter[str] = field(default_factory=Counter)

    @property
    def endpoint(self) -> EndpointSettings:
        return EndpointSettings(url=self.shop.url, key_env=None, precision="f32", rows=PROBES)

    def ask(self, kind: str, count: int) -> list[Answer]:
        """The next rows of `known` or `drifted`; each is sent once."""
        rows = getattr(self.plan, kind).slice(self.sent[kind], count)
        self.sent[kind] += len(rows)
        self.line.require(len(rows) == count, "traffic", f"{count} more {kind} rows", f"the plan has {len(rows)} left")
        found = self.shop.ask(rows)
        time.sleep(STORED_SECONDS)
        return found

    def say(self, answers: list[Answer]) -> int:
        """Labels for these answers; how many were taken."""
        taken = self.shop.say(answers)
        time.sleep(STORED_SECONDS)
        return taken


def play(plan: Plan, folder: Path, report: Report) -> Timeline:
    """The whole drill in `folder`, which must be empty. Raises `DrillFailed` at the first step that did not happen."""
    folder.mkdir(parents=True, exist_ok=True)
    line, registry = Timeline(folder / "timeline.jsonl", report), Registry(folder / "registry" / MODEL)
    release(plan, folder, registry, line)
    with server(folder, MODEL, folder / "registry") as (url, process):
        line.tell("serve", f"tunewright serve {MODEL}", f"process {process} answers at {url}")
        with TrafficStore.open(champion_of(registry).recipe.serve.traffic, folder) as store:
            shop = Shop(url, MODEL, plan.customers, plan.at_once)
            stage = Stage(plan, folder, registry, store, shop, line)
            for act in (calm, drift, label, retrain, roll_out, damaged_release, bad_release, late_labels):
                act(stage)
            shop.close()
        line.require(shop.failed == 0, "requests", "every request answered", f"{shop.failed} of {shop.served + shop.failed} failed")
        line.tell(
            "end", "the loop is closed", f"{shop.served:,} requests answered by HTTP, {shop.failed} failed; {line.seconds / 60:.1f} minutes"
        )
    return line


def release(plan: Plan, folder: Path, registry: Registry, line: Timeline) -> None:
    """Version 1: the whole lifecycle on the rows of the plan."""
    write_parquet(folder / "rows.parquet", plan.rows)
    values = {**plan.recipe, "data": {**plan.recipe["data"], "path": str(folder / "rows.parquet")}}
    line.tell("release", f"the lifecycle on {len(plan.rows):,} rows begins", "")

    def stage_begins(text: str) -> None:
        name, _, words = text.partition(" ")
        if name in lifecycle.NAMES:
            line.tell("release", name, words.strip())

    run = lifecycle.run(Recipe.check(values, "drill", folder), folder / "run", report=Heard(stage_begins))
    verdict = run.verdict
    words = f"{verdict['difference']:+.3f} {verdict['metric']} against {verdict['baseline']} on {verdict['n']} sealed rows"
    line.require(verdict["verdict"] == "SHIP", "release", "a release that may serve", f"{verdict['verdict']}: {words}")
    version = registry.register(run.path("release"), run=run.directory.resolve(), reason="drill: the first release", by=BY)
    registry.promote(version, reason=f"SHIP: {words}", by=BY)
    line.tell("release", f"{MODEL}@{version} is the champion", f"SHIP: {words}")


def calm(stage: Stage) -> None:
    """Traffic like the rows: the monitor must keep still."""
    answers = stage.ask("known", stage.plan.calm)
    waits = sorted(one.seconds for one in answers)
    stage.line.tell(
        "traffic",
        f"{len(answers)} requests like those of training",
        f"{right(answers):.1%} right; median {1000 * waits[len(waits) // 2]:.0f} ms with {stage.plan.at_once} at once; all by {_by(answers)}",
        accuracy=right(answers),
    )
    seen = _watch(stage)
    told = f"{seen.windows} windows, alerts: {', '.join(one.key for one in seen.alerts) or 'none'}"
    stage.line.require(seen.windows > 0 and not seen.sustained, "monitor", "windows measured, and no alarm without drift", told)
    stage.line.tell("monitor", "no drift alert", f"{seen.windows} windows measured")


def drift(stage: Stage) -> None:
    """Other customers come; the monitor says so by itself."""
    before, start = _watch(stage).windows, time.monotonic()
    answers: list[Answer] = []
    found = None
    while len(answers) < stage.plan.drift:
        answers += stage.ask("drifted", min(stage.plan.wave, stage.plan.drift - len(answers)))
        seen = _watch(stage)
        if seen.sustained and found is None:
            found = len(answers)
            moved = "; ".join(f"{one.signal}: {one.message}" for one in seen.alerts)
            stage.line.tell(
                "detect",
                f"the monitor raises {len(seen.alerts)} alerts",
                f"after {found} drifted requests, {seen.windows - before} windows, {time.monotonic() - start:.0f} s: {moved[:300]}",
                requests=found,
            )
    states = Watch(Target(MODEL, stage.registry), stage.store).states()
    write_watch(stage.folder / "monitor.html", history(stage.store, MODEL, states, datetime.now(UTC)))
    stage.line.require(found is not None, "detect", "a drift alert", f"none after {len(answers)} drifted requests")
    stage.line.tell("drift", f"{len(answers)} drifted requests answered", f"{right(answers):.1%} right now", accuracy=right(answers))
    write_json(stage.folder / "drifted.json", [one.__dict__ for one in answers])


def label(stage: Stage) -> None:
    """Labels of a uniform sample arrive by HTTP, a reviewer approves them, and retraining is due."""
    answers = [Answer(**one) for one in read_json(stage.folder / "drifted.json")]
    due = triggers.check(stage.registry, stage.store, champion_of(stage.registry))
    stage.line.require(not due.due, "label", "no retraining before there are labels", due.reason)
    since = stage.store.exchanges(ids=[one.id for one in answers])["time"].min()
    drawn = set(stage.store.draw(stage.plan.labels, "uniform", BY, Filter(since=since), seed=11)["id"])  # type: ignore[arg-type]
    chosen = [one for one in answers if one.id in drawn]
    taken = stage.say(chosen)
    approved, left = stage.store.approve([one.id for one in chosen], "reviewer")
    stage.line.require(
        approved == taken == len(chosen), "label", "labels taken and approved", f"{taken} taken, {approved} approved, {left}"
    )
    stage.line.tell(
        "label", f"{taken} labels arrive as feedback and are approved", f"a uniform draw of {len(drawn)} answers was up for review"
    )
    due = triggers.check(stage.registry, stage.store, champion_of(stage.registry))
    stage.line.require(due.due, "trigger", "retraining is due", " | ".join(due.lines()))
    stage.line.tell("trigger", "retraining is due", "; ".join(f"{one.name}: {one.text}" for one in due.triggers if one.due))


def retrain(stage: Stage) -> None:
    """A challenger from the new rows, through the same lifecycle and past the gates."""

    def step_done(text: str) -> None:
        step, done, words = text.removeprefix("retrain   ").partition(" done: ")
        if done and text.startswith("retrain   "):
            stage.line.tell("gate" if step == "compare" else "retrain", f"{step} done", words)

    with journal.single_flight(stage.registry):
        due = triggers.check(stage.registry, stage.store, champion_of(stage.registry))
        attempt = machine.start(stage.registry, due, BY)
        done = machine.advance(stage.registry, stage.store, Heard(step_done))
    outcome = journal.attempts(stage.registry)[-1].document["outcome"]
    stage.line.require(done.state == "waiting", "gate", "a challenger that passes every gate", f"{attempt.id}: {outcome}")


def roll_out(stage: Stage) -> None:
    """Live requests, answered unseen first, then for a growing share of the customers; labels come with them."""
    answers = _climb(stage, "promoted")
    state = stage.registry.state()
    after = [one for one in answers if one.version == f"{MODEL}@{state.champion}"]
    stage.line.require(state.champion == 2, "promote", "version 2 is the champion", f"champion {state.champion}")
    before = [one for one in answers if one.version == f"{MODEL}@1"]
    words = f"right on live drifted requests: {right(before):.1%} of {len(before)} by version 1, {right(after):.1%} of {len(after)} by version 2"
    fresh = stage.ask("drifted", stage.plan.wave // 2)
    stage.line.require({one.version for one in fresh} == {f"{MODEL}@2"}, "promote", "all requests go to version 2", _by(fresh))
    stage.line.tell(
        "promote", f"{MODEL}@2 is the champion and answers all", f"{words}; {len(fresh)} of {len(fresh)} new requests by {_by(fresh)}"
    )


def damaged_release(stage: Stage) -> None:
    """Scrambled weights, forced past the verdict: at the endpoint they are not what was tested, so no customer meets them."""
    champion, version = _bad(stage, "damaged", seed=0)
    answers = _climb(stage, "refused")
    hit = [one for one in answers if one.version != f"{MODEL}@{champion}"]
    stage.line.require(not hit, "damaged", "no customer meets it", _by(hit))
    outcome = journal.attempts(stage.registry)[-1].document["outcome"]
    stage.line.tell(
        "damaged", f"{MODEL}@{version} is refused at the endpoint", f"{outcome[:200]}; all {len(answers)} requests by {_by(answers)}"
    )


def bad_release(stage: Stage) -> None:
    """The same where nobody asks the endpoint: the canary must catch it by the customers' labels, and give the customers back."""
    champion, version = _bad(stage, "bad", seed=1)
    answers = _climb(stage, "aborted", endpoint=False)
    hit = [one for one in answers if one.version == f"{MODEL}@{version}"]
    outcome = journal.attempts(stage.registry)[-1].document["outcome"]
    state = stage.registry.state()
    held = state.champion == champion and state.challenger is None and state.rollout is None
    stage.line.require(held and bool(hit), "rollback", "the canary is stopped", f"{outcome}; champion {state.champion}")
    stage.line.tell(
        "catch", f"the canary aborts: {outcome}", f"{len(hit)} answers came from the bad version, {right(hit):.1%} of them right"
    )
    _given_back(stage, champion)


def late_labels(stage: Stage) -> None:
    """One more, and this time nobody says what was right until it is the champion: the watch must roll it back, under load."""
    champion, version = _bad(stage, "late", seed=2)
    answers = _climb(stage, "promoted", endpoint=False, labels=False, turned=version)
    answers += stage.ask("drifted", stage.plan.wave // 2)
    hit = [one for one in answers if one.version == f"{MODEL}@{version}"]
    words = f"its canary saw no failure and no label; {len(hit)} answers came from it"
    stage.line.require(stage.registry.state().champion == version, "late", f"{MODEL}@{version} is promoted", words)
    stage.line.tell("late", f"{MODEL}@{version} is the champion", words)
    stage.say(answers)
    with ThreadPoolExecutor(1) as pool:
        wave = pool.submit(stage.ask, "drifted", stage.plan.wave // 2)
        with journal.single_flight(stage.registry):
            done = machine.advance(stage.registry, stage.store, Report(quiet=True))
        meanwhile = wave.result()
    outcome = journal.attempts(stage.registry)[-1].document["outcome"]
    rolled = done.state == "rolled_back" and stage.registry.state().champion == champion
    stage.line.require(rolled, "rollback", "the watch rolls it back", f"{done.state}: {outcome}")
    stage.line.tell(
        "catch",
        f"labels arrive, and the watch rolls back: {outcome}",
        f"{right(hit):.1%} of its answers were right; {len(meanwhile)} requests were under way, answered by {_by(meanwhile)}",
    )
    _given_back(stage, champion)


def _given_back(stage: Stage, champion: int) -> None:
    start = time.monotonic()
    time.sleep(SETTLE_SECONDS)
    after = stage.ask("drifted", stage.plan.wave // 2)
    stage.line.require({one.version for one in after} == {f"{MODEL}@{champion}"}, "rollback", "the champion answers all again", _by(after))
    last = stage.registry.history()[-1]
    stage.line.tell(
        "rollback",
        f"{MODEL}@{champion} answers everybody again",
        f"{len(after)} of {len(after)} requests within {time.monotonic() - start:.0f} s, {right(after):.1%} right; history says: "
        f"{last['action']}: {last['reason'][:120]}",
    )


def _bad(stage: Stage, step: str, seed: int) -> tuple[int, int]:
    """The champion, and a version with its weights in random order whose rollout begins by --force."""
    champion = stage.registry.state().champion
    assert champion is not None
    broken = scrambled(stage.registry.path(champion), stage.folder / step, seed)
    version = stage.registry.register(broken, reason="drill: a release that was damaged on its way", by=BY)
    machine.start_rollout(stage.registry, str(version), BY, "drill: forced past the gates", force=True)
    stage.line.tell(step, f"{MODEL}@{version} is rolled out by --force", "its weights were scrambled; its manifest says NOT APPROVED")
    return champion, version


def _climb(stage: Stage, until: str, endpoint: bool = True, labels: bool = True, turned: int | None = None) -> list[Answer]:
    """Live traffic and looks in turn until the attempt ends as it should, or `turned` is the champion; what was answered on the way.

    In the shadow the waves are small, since each request is answered twice, and no labels come yet; without `labels`, never.
    """
    answers: list[Answer] = []
    seen, asked = "", False
    for _ in range(TURNS):
        with journal.single_flight(stage.registry):
            done = machine.advance(stage.registry, stage.store, Report(quiet=True), stage.endpoint if endpoint else None)
        parity = journal.attempts(stage.registry)[-1].document["steps"].get("parity", {}).get("result")
        if parity and endpoint and not asked:
            asked = True
            stage.line.tell("parity", "the challenger at the endpoint is held against its release", parity["text"])
        where = _rollout(stage.registry)
        moved, seen = where != seen, where
        if moved and done.state == "waiting":
            stage.line.tell(where.split(":")[0] if ":" in where else "promote", where, done.waiting)
        if done.state != "waiting":
            assert done.attempt is not None
            stage.line.require(done.state == until, "canary", f"the rollout is {until}", str(done.attempt.document["outcome"]))
            return answers
        if moved:
            time.sleep(SETTLE_SECONDS)  # the server has seen the registry
        if turned is not None and stage.registry.state().champion == turned:
            return answers
        rollout = stage.registry.state().rollout
        loaded = rollout is None or stage.shop.wait_for(f"{MODEL}@{rollout.challenger}")
        stage.line.require(loaded, "serve", "the server loads the challenger", where)
        shadow = "shadow" in where
        wave = stage.ask("drifted", stage.plan.wave // 4 if shadow else stage.plan.wave)
        answers += wave
        if labels and not shadow:
            stage.say(wave)
    stage.line.require(False, "canary", f"the rollout is {until}", f"still waiting after {TURNS} looks: {done.waiting}")
    return answers


def _rollout(registry: Registry) -> str:
    state = registry.state()
    if state.rollout is None:
        return f"{MODEL}@{state.champion} answers all"
    who = f"{MODEL}@{state.rollout.challenger}"
    if state.rollout.mode == "shadow":
        return f"shadow: {who} answers unseen"
    return f"canary: {who} answers {state.rollout.share:.0%} of the customers"


def _watch(stage: Stage) -> Any:
    """One round of the monitor, and what it knows then of the champion."""
    time.sleep(SETTLE_SECONDS)
    Watch(Target(MODEL, stage.registry), stage.store).round()
    return status(stage.store, MODEL, f"{MODEL}@{stage.registry.state().champion}")


def _by(answers: list[Answer]) -> str:
    return ", ".join(f"{version} {count}" for version, count in sorted(Counter(one.version for one in answers).items()))


def scrambled(release: Path, target: Path, seed: int = 0) -> Path:
    """A copy of `release` with the values of every learnt matrix in random order, and a manifest that is not approved but otherwise in order."""
    shutil.copytree(release, target, ignore=shutil.ignore_patterns("lineage.json"))
    torch, files = require("torch", "train"), require("safetensors.torch", "train")
    for path in sorted(target.glob("*.safetensors")):
        tensors = files.load_file(path)
        mixed = {name: one.flatten()[_order(torch, one.numel(), seed)].reshape(one.shape) for name, one in tensors.items()}
        files.save_file(mixed, path, metadata={"format": "pt"})
    manifest = read_json(target / "manifest.json")
    for one in manifest["files"]:
        path = target / one["path"]
        one |= {"bytes": path.stat().st_size, "sha256": sha256_file(path)}
    mark = sha256_file(next(target.glob("*.safetensors")))[:16]
    changed = {"approved": False, "verdict": "DON'T SHIP", "status": "NOT APPROVED: damaged for the drill.", "fingerprint": mark}
    write_json(target / "manifest.json", manifest | changed)
    return target


def _order(torch: Any, count: int, seed: int) -> Any:
    return torch.randperm(count, generator=torch.Generator().manual_seed(count + seed))
