"""The steps from a reason to a new champion. Each can be done again after a process was killed in the middle of it.

    rows       approved traffic and old rows -> rows.parquet, with splits
    tune       audit, prepare, tune: the technique that won last time
    choose     does it still win? else all techniques compete
    evaluate   the sealed test, explanation, release
    compare    challenger against champion on frozen and rolling rows -> gates; a gate that is not passed ends the attempt
    register   a version with its lineage; it becomes the challenger
    shadow     it answers unseen
    parity     at the endpoint it answers as its release does
    canary     it answers a share of the callers, 1 -> 5 -> 25 -> 100%
    promote    it is the champion
    watch      and is watched a little longer; surely worse means rollback

`advance` goes as far as it can: steps that need traffic say what they wait for. A rollout of a version that somebody registered by
hand begins at `shadow`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tunewright import lifecycle
from tunewright.core.errors import RunError, TunewrightError
from tunewright.core.files import read_json, write_json
from tunewright.core.loop import EndpointSettings
from tunewright.core.progress import Report
from tunewright.core.recipe import Recipe
from tunewright.core.run import Run
from tunewright.registry import Registry
from tunewright.retrain import gates, journal, rollout, rows, served, triggers
from tunewright.retrain.journal import Attempt
from tunewright.retrain.recipe import LoopRecipe, champion_of, derived, of_version, old_winner, rivals
from tunewright.traffic.store import TrafficStore


@dataclass(frozen=True)
class Wait:
    """The step needs more traffic."""

    text: str


@dataclass(frozen=True)
class End:
    """The attempt is over."""

    state: journal.State
    text: str


Outcome = dict[str, Any] | Wait | End


@dataclass(frozen=True)
class Work:
    """What a step works with. `champion` is the version that the attempt set out to improve on, whatever serves now; `endpoint` is
    where it serves."""

    registry: Registry
    store: TrafficStore
    attempt: Attempt
    champion: LoopRecipe
    endpoint: EndpointSettings
    report: Report

    @property
    def run(self) -> Run:
        return Run(self.attempt.path("run"))

    @property
    def by(self) -> str:
        return f"retrain {self.attempt.id}"

    @property
    def challenger(self) -> int:
        return int(self.attempt.document["challenger"])

    def name(self, version: int) -> str:
        return f"{self.registry.name}@{version}"

    def recipe(self) -> Recipe:
        return Recipe.check(read_json(self.attempt.path("recipe.json")), "the challenger's recipe")


@dataclass(frozen=True)
class Progress:
    """What came of it: no attempt, one that waits, or one that ended."""

    attempt: Attempt | None
    waiting: str = ""

    @property
    def state(self) -> str:
        return "idle" if self.attempt is None else "waiting" if self.attempt.running else str(self.attempt.document["state"])


def start(registry: Registry, due: triggers.Due, by: str, reason: str | None = None) -> Attempt:
    """Begin an attempt; the caller holds the lock."""
    names = [one.name for one in due.triggers if one.due]
    evidence = {one.name: {"text": one.text, **one.detail} for one in due.triggers}
    why = f"{reason}; {due.reason}" if reason else due.reason
    found = journal.begin(
        registry, kind="retrain", trigger=names[0] if names else "by_hand", reason=why, evidence=evidence, by=by, champion=due.champion
    )
    found.tell(f"begins: {why}")
    return found


def start_rollout(registry: Registry, ref: str, by: str, reason: str, force: bool = False) -> Attempt:
    """Begin the rollout of a version that is registered already. Raises `RunError` when it may not serve (unless `force`)."""
    champion = champion_of(registry)
    challenger = registry.resolve(ref)
    registry.set_challenger(challenger, reason=reason, by=by)
    if any(one.running for one in journal.attempts(registry)):
        raise RunError(f"{registry.name}: an attempt is under way. Wait for it, or end it with --abort.")
    fields = {"trigger": "by_hand", "reason": reason, "evidence": {}, "by": by, "champion": champion.version, "force": force}
    found = journal.begin(registry, kind="rollout", challenger=challenger, **fields)
    found.tell(f"rollout of {registry.name}@{challenger} begins: {reason}")
    return found


def advance(registry: Registry, store: TrafficStore, report: Report, endpoint: EndpointSettings | None = None) -> Progress:
    """Go on with the attempt under way, as far as it can go. The caller holds the lock. `endpoint` stands in for the recipe's. Raises
    `TunewrightError` when a step cannot be done; the attempt then stays where it is, and is given up after three failures of one step."""
    running = [one for one in journal.attempts(registry) if one.running]
    if not running:
        return Progress(None)
    attempt = running[-1]
    champion = of_version(registry, int(attempt.document["champion"]))
    work = Work(registry, store, attempt, champion, endpoint or champion.settings.endpoint, report)
    for name, step in STEPS[attempt.document["kind"]]:
        if attempt.done(name):
            continue
        attempt.start(name)
        try:
            outcome = step(work)
        except TunewrightError as error:
            if attempt.failed(f"{name}: {error}"):
                attempt.tell(f"given up: {name}: {error}")
            raise
        if isinstance(outcome, Wait):
            return Progress(attempt, f"{name}: {outcome.text}")
        if isinstance(outcome, End):
            attempt.tell(f"{name}: {outcome.state}: {outcome.text}")
            attempt.end(outcome.state, f"{name}: {outcome.text}")
            return Progress(attempt)
        attempt.finish(name, outcome)
        attempt.tell(f"{name} done{': ' + outcome['text'] if 'text' in outcome else ''}")
        report.say(f"retrain   {name} done{': ' + outcome['text'] if 'text' in outcome else ''}")
    attempt.end("promoted", f"{work.name(work.challenger)} is the champion")
    return Progress(attempt)


def abort(registry: Registry, reason: str, by: str) -> Attempt:
    """End the attempt under way by hand; the champion alone answers. The caller holds the lock. Raises `RunError`."""
    running = [one for one in journal.attempts(registry) if one.running]
    if not running:
        raise RunError(f"{registry.name}: no attempt is under way.")
    attempt = running[-1]
    if attempt.document["challenger"] is not None and registry.state().challenger == attempt.document["challenger"]:
        registry.set_challenger(None, reason=reason, by=by)
    attempt.tell(f"ended by {by}: {reason}")
    attempt.end("aborted", f"by {by}: {reason}")
    return attempt


# The steps.


def _rows(work: Work) -> Outcome:
    new = triggers.new_rows(work.registry, work.store, work.champion)
    labels = list(read_json(work.champion.release / "manifest.json")["prompt"]["answers"])
    told = rows.write(work.champion, new, labels, work.attempt.path())
    recipe = derived(work.champion, work.attempt.path("rows.parquet").resolve(), [old_winner(work.champion)])
    write_json(work.attempt.path("recipe.json"), recipe)
    seal = read_json(work.champion.run.path("prepare", "seal.json"))
    if not work.run.path("prepare", "seal.json").exists():  # looks that were taken at the frozen test stay counted
        write_json(work.run.path("prepare", "seal.json"), {"openings": seal["openings"]})
    text = f"{told['new']} new rows, {told['replayed']} replayed; tests: {told['frozen']} frozen, {told['rolling']} rolling"
    return told | {"text": text}


def _tune(work: Work) -> Outcome:
    run = lifecycle.run(work.recipe(), work.run.directory, until="tune", report=work.report)
    if run.done("tune") is None:
        return End("refused", f"the audit found what the recipe does not allow (audit.fail_on); see {run.path('report.html')}")
    board = read_json(run.path("tune", "leaderboard.json"))
    best = board["candidates"][0]
    return {
        "winner": board["winner"],
        "validation": best["validation"],
        "text": f"{board['winner']} in {best['train_seconds']:.0f} s of training",
    }


def _choose(work: Work) -> Outcome:
    kept = work.attempt.notes("choose")
    found = kept.get("found") or gates.still_wins(work.champion, work.run, work.attempt.path("champion"), work.report)
    if not kept:
        work.attempt.note("choose", found=found)
    told = [
        f"on {one['rows']} {part} validation rows {one['challenger']:.3f}, the champion {one['champion']:.3f}"
        for part, one in found["parts"].items()
    ]
    text = f"{found['technique']} trained anew: {'; '.join(told)}"
    if found["wins"]:
        return found | {"text": f"{text}: it still wins"}
    recipe = work.recipe()
    write_json(work.attempt.path("recipe.json"), derived(work.champion, Path(str(recipe.data.path)), rivals(work.champion)))
    run = lifecycle.run(work.recipe(), work.run.directory, until="tune", report=work.report)
    board = read_json(run.path("tune", "leaderboard.json"))
    return found | {"rivals": [one["name"] for one in board["candidates"]], "text": f"{text}: all compete again, {board['winner']} wins"}


def _evaluate(work: Work) -> Outcome:
    run = lifecycle.run(work.recipe(), work.run.directory, report=work.report)
    verdict = run.verdict
    return {"verdict": verdict["verdict"], "text": f"{verdict['verdict']} on {verdict['n']} sealed rows"}


def _compare(work: Work) -> Outcome:
    past = [
        one for one in journal.attempts(work.registry) if one.id != work.attempt.id and one.document["champion"] == work.champion.version
    ]
    earlier = sum(one.done("compare") for one in past)
    found = gates.compare(work.champion, work.run, work.attempt.path("champion"), work.attempt.id, earlier, work.report)
    write_json(work.attempt.path("comparison.json"), found)
    words = "; ".join(f"{one['name']} {'passed' if one['passed'] else 'not passed'}: {one['text']}" for one in found["gates"])
    return {"passed": found["passed"], "text": words}


def _register(work: Work) -> Outcome:
    found = read_json(work.attempt.path("comparison.json"))
    reason = f"retrain {work.attempt.id}: {work.attempt.document['reason']}"
    told = {"attempt": work.attempt.id, "trigger": work.attempt.document["trigger"], "reason": work.attempt.document["reason"]}
    told |= {"rows": work.attempt.result("rows"), "evidence": work.attempt.document["evidence"]}
    version = work.registry.register(
        work.run.path("release"),
        run=work.run.directory.resolve(),
        parent=work.champion.version,
        reason=reason,
        by=work.by,
        gates=found["gates"],
        lineage={"retrain": told},
    )
    work.attempt.change(challenger=version)
    if not found["passed"]:
        failed = "; ".join(one["text"] for one in found["gates"] if one["passed"] is not True)
        return End("refused", f"{work.name(version)} does not replace {work.name(work.champion.version)}: {failed}")
    if overtaken := _overtaken(work):
        return overtaken
    work.registry.set_challenger(version, reason=reason, by=work.by)
    return {"version": version, "text": f"{work.name(version)} is the challenger"}


def _overtaken(work: Work) -> End | None:
    state = work.registry.state()
    if state.champion not in (work.champion.version, work.attempt.document["challenger"]):
        return End("aborted", f"the champion is {state.champion} now, not {work.champion.version}: somebody changed it meanwhile")
    return None


def _shadow(work: Work) -> Outcome:
    settings = work.champion.settings.canary
    if settings.shadow_requests == 0:
        return {"text": "left out (canary.shadow_requests is 0)"}
    if stop := _ensure(work, "shadow", 1.0):
        return stop
    look, told = rollout.shadow_look(
        work.store, work.name(work.champion.version), work.name(work.challenger), _since(work, "shadow", "0"), settings
    )
    work.attempt.note("shadow", look=look.document(), told=told)
    if look.action == "abort":
        return _stop(work, look.text)
    if look.action == "wait":
        return Wait(look.text)
    agree = "" if told["agreement"] is None else f", {told['agreement']:.0%} answered alike"
    return told | {"text": f"{look.requests} requests answered unseen{agree}"}


def _parity(work: Work) -> Outcome:
    if work.endpoint.url is None:
        return {"text": "left out (retrain.endpoint.url is not set)"}
    if overtaken := _overtaken(work):
        return overtaken
    try:
        found = served.check(work.registry.path(work.challenger), work.name(work.challenger), work.endpoint)
    except TunewrightError as error:  # the server is away, does not follow, wants a key: mended there, and no reason to give up
        return Wait(str(error))
    gate = {"name": "parity of endpoint", "passed": found["passed"], "text": found["text"]}
    work.registry.record_gates(work.challenger, [gate], reason=f"asked {work.endpoint.url}", by=work.by)
    text = f"{found['artefact']}: {found['text']}"
    if found["passed"]:
        return {"text": text, "measured": found}
    work.registry.set_challenger(None, reason=f"refused: {text}", by=work.by)
    return End("refused", text)


def _canary(work: Work) -> Outcome:
    settings = work.champion.settings.canary
    stages = list(work.attempt.notes("canary").get("stages", []))
    while len(stages) < len(settings.shares):
        share = settings.shares[len(stages)]
        if stop := _ensure(work, "canary", share):
            return stop
        since = _since(work, "canary", str(len(stages)))
        names = work.name(work.champion.version), work.name(work.challenger)
        counts, requests = rollout.counts_of(work.store, *names, since, _since(work, "canary", "0") if share == 1 else None)
        look = rollout.judge(counts, requests, settings)
        stage = {"share": share, "since": since.isoformat(), "look": look.document(), "counts": counts, "at": datetime.now(UTC).isoformat()}
        work.attempt.note("canary", now=stage)
        if look.action == "abort":
            return _stop(work, f"at {share:.0%} of the callers, {look.text}")
        if look.action == "wait":
            return Wait(f"{share:.0%} of the callers: {look.text}")
        stages.append(stage)
        work.attempt.note("canary", stages=stages)
        work.attempt.tell(f"canary at {share:.0%} passed: {look.text}")
        work.report.say(f"retrain   canary at {share:.0%} passed: {look.text}")
    return {"stages": stages, "text": f"{len(stages)} shares passed"}


def _ensure(work: Work, mode: Any, share: float) -> End | None:
    """Let the registry say what this stage needs; once it has said so, somebody who changes it ends the attempt."""
    if overtaken := _overtaken(work):
        return overtaken
    step, key = mode, "0" if mode == "shadow" else str(len(work.attempt.notes("canary").get("stages", [])))
    state, begun = work.registry.state(), work.attempt.notes(step).get(f"since_{key}")
    now = state.rollout
    fits = now is not None and (now.challenger, now.mode, now.share) == (work.challenger, mode, share)
    if begun and not fits:
        return End("aborted", _stopped(work, step) or "the rollout was ended or changed by hand")
    if not begun:
        if state.challenger != work.challenger:
            return End("aborted", f"the challenger is {state.challenger} now, not {work.challenger}: somebody changed it meanwhile")
        if not fits:
            force, reason = bool(work.attempt.document.get("force")), f"retrain {work.attempt.id}: {mode} at {share:.0%}"
            now = work.registry.set_rollout(mode, share, reason=reason, by=work.by, force=force)
        assert now is not None
        work.attempt.note(step, **{f"since_{key}": now.since})
    return None


def _stopped(work: Work, step: str) -> str:
    """Why this attempt stopped the rollout itself, if it was killed before it could say so."""
    notes = work.attempt.notes(step)
    look = notes.get("look") or notes.get("now", {}).get("look") or {}
    return str(look["text"]) if look.get("action") == "abort" else ""


def _since(work: Work, step: str, key: str) -> datetime:
    return datetime.fromisoformat(work.attempt.notes(step)[f"since_{key}"])


def _stop(work: Work, text: str) -> End:
    """The champion alone answers again; the version's gates and the history say why."""
    work.registry.record_gates(work.challenger, [{"name": "canary", "passed": False, "text": text}], reason=text, by=work.by)
    work.registry.set_challenger(None, reason=f"aborted: {text}", by=work.by)
    return End("aborted", text)


def _promote(work: Work) -> Outcome:
    if overtaken := _overtaken(work):
        return overtaken
    look = work.attempt.result("canary")["stages"][-1]["look"]
    passed = [{"name": "canary", "passed": True, "text": look["text"]}]
    reason = f"retrain {work.attempt.id}: passed shadow and canary; {work.attempt.document['reason']}"
    if work.registry.state().champion != work.challenger:
        work.registry.record_gates(work.challenger, passed, reason=reason, by=work.by)
        work.registry.promote(work.challenger, reason=reason, by=work.by, force=bool(work.attempt.document.get("force")))
    return {"at": datetime.now(UTC).isoformat(), "text": f"{work.name(work.challenger)} is the champion"}


def _watch(work: Work) -> Outcome:
    settings = work.champion.settings.canary
    if work.registry.state().champion != work.challenger:
        return End("rolled_back", _stopped(work, "watch") or "somebody rolled it back")
    since = datetime.fromisoformat(work.attempt.result("promote")["at"])
    names = work.name(work.champion.version), work.name(work.challenger)
    counts, requests = rollout.counts_of(work.store, *names, since, _since(work, "canary", "0"), late=True)
    look = rollout.judge(counts, requests, settings, required=False)
    work.attempt.note("watch", look=look.document())
    if look.action == "abort":
        work.registry.record_gates(work.challenger, [{"name": "canary", "passed": False, "text": look.text}], reason=look.text, by=work.by)
        work.registry.rollback(reason=f"retrain {work.attempt.id}: {look.text}", by=work.by)
        return End("rolled_back", look.text)
    if look.action == "wait":
        return Wait(look.text)
    return {"text": f"{requests} requests as champion, not worse"}


Step = tuple[str, Callable[[Work], Outcome]]
_ROLLOUT: tuple[Step, ...] = (("shadow", _shadow), ("parity", _parity), ("canary", _canary), ("promote", _promote), ("watch", _watch))
STEPS: dict[str, tuple[Step, ...]] = {
    "retrain": (
        ("rows", _rows),
        ("tune", _tune),
        ("choose", _choose),
        ("evaluate", _evaluate),
        ("compare", _compare),
        ("register", _register),
        *_ROLLOUT,
    ),
    "rollout": _ROLLOUT,
}
