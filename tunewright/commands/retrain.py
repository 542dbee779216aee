"""`tunewright retrain MODEL`: is it time for a new champion, and the steps to it."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunewright.commands._shared import out, user

if TYPE_CHECKING:
    from tunewright.core.loop import EndpointSettings
    from tunewright.registry import Registry
    from tunewright.retrain.machine import Progress
    from tunewright.traffic.store import TrafficStore

HELP = "train a challenger on approved traffic, prove it on sealed rows, roll it out step by step, or say why not"
EXIT = {"refused": 1, "aborted": 1, "rolled_back": 1, "failed": 1}


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="as it is called in the registry")
    parser.add_argument("--registry", metavar="DIR", help="default: $TUNEWRIGHT_REGISTRY, or registry")
    parser.add_argument("--traffic", metavar="URL", help="traffic store (default: serve.traffic.url of the champion's recipe)")
    parser.add_argument(
        "--endpoint", metavar="URL", help="server that answers callers (default: retrain.endpoint.url of the champion's recipe)"
    )
    parser.add_argument("--key-env", metavar="VARIABLE", help="environment variable that holds an API key for it")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--check", action="store_true", help="only say whether it is due (exit code 1 when it is)")
    what.add_argument("--now", action="store_true", help="begin whatever the triggers, the cool-down and the budget say")
    what.add_argument("--step", action="store_true", help="go on with the attempt under way, begin none")
    what.add_argument("--rollout", metavar="VERSION", help="take a version that is registered already through shadow and canary")
    what.add_argument("--abort", action="store_true", help="end the attempt under way; the champion alone answers")
    what.add_argument("--history", action="store_true", help="all attempts and what became of them")
    parser.add_argument("--watch", action="store_true", help="look again and again until interrupted")
    parser.add_argument("--every", type=float, default=30.0, metavar="SECONDS", help="between two looks of --watch (default: 30)")
    parser.add_argument("--reason", metavar="TEXT", help="why, for lineage and history")
    parser.add_argument("--by", default=user(), metavar="NAME", help="who wants it (default: the user's name)")
    parser.add_argument("--force", action="store_true", help="with --rollout: also a version that is not approved; the history will say so")


def do(given: argparse.Namespace) -> int:
    from tunewright.core.loop import TrafficSettings
    from tunewright.core.optional import require
    from tunewright.registry import open_model
    from tunewright.retrain.journal import Busy
    from tunewright.retrain.recipe import champion_of

    registry = open_model(given.model, given.registry)
    if given.history:
        return _history(given, registry)
    require("sqlalchemy", "serve")
    from tunewright.traffic.store import TrafficStore

    settings: TrafficSettings = champion_of(registry).recipe.serve.traffic
    if given.traffic:
        settings = settings.model_copy(update={"url": given.traffic})
    with TrafficStore.open(settings, Path.cwd()) as store:
        try:
            return _turns(given, registry, store)
        except Busy as busy:
            out(given, {"state": "busy", "text": str(busy)}, [str(busy)])
            return 0


def _turns(given: argparse.Namespace, registry: Registry, store: TrafficStore) -> int:
    from tunewright.core.errors import TunewrightError
    from tunewright.core.progress import Report

    code = _turn(given, registry, store)
    given.now = given.rollout = given.abort = None  # asked for once
    while given.watch:
        time.sleep(given.every)
        try:
            code = _turn(given, registry, store)
        except TunewrightError as error:
            Report().say(f"retrain   {error}")
    return code


def _turn(given: argparse.Namespace, registry: Registry, store: TrafficStore) -> int:
    """Look once, and do what is to be done."""
    from tunewright.core.progress import Report
    from tunewright.retrain import journal, machine, triggers
    from tunewright.retrain.recipe import champion_of

    due = None
    if given.check:
        due = triggers.check(registry, store, champion_of(registry))
        out(given, due.document(), due.lines())
        return int(due.due)
    endpoint = _endpoint(given, registry)
    with journal.single_flight(registry):
        if given.abort:
            return _ended(given, machine.Progress(machine.abort(registry, given.reason or "by hand", given.by)))
        if given.rollout:
            machine.start_rollout(registry, given.rollout, given.by, given.reason or "rollout by hand", given.force)
        elif not given.step and not any(one.running for one in journal.attempts(registry)):
            due = triggers.check(registry, store, champion_of(registry), by_hand=bool(given.now))
            if not due.due:
                out(given, {"state": "idle", "triggers": due.document()}, due.lines())
                return 0
            machine.start(registry, due, given.by, given.reason)
        return _ended(given, machine.advance(registry, store, Report(quiet=given.json), endpoint))


def _endpoint(given: argparse.Namespace, registry: Registry) -> EndpointSettings:
    """The recipe's endpoint, with what the command line says instead."""
    from pydantic import ValidationError

    from tunewright.core.errors import RunError
    from tunewright.core.loop import EndpointSettings
    from tunewright.core.settings import problems_of
    from tunewright.retrain.recipe import champion_of
    from tunewright.retrain.served import key_of

    told = {"url": given.endpoint, "key_env": given.key_env}
    values = champion_of(registry).settings.endpoint.model_dump() | {name: value for name, value in told.items() if value is not None}
    try:
        settings = EndpointSettings.model_validate(values)
    except ValidationError as error:
        raise RunError("; ".join(f"--endpoint: {message}" for _, message in problems_of(error, EndpointSettings))) from error
    key_of(settings)  # told now, not after hours of training
    return settings


def _ended(given: argparse.Namespace, done: Progress) -> int:
    if done.attempt is None:
        out(given, {"state": "idle"}, ["no attempt is under way"])
        return 0
    attempt = done.attempt
    text = done.waiting or attempt.document["outcome"]
    document = {"state": done.state, "text": text, "directory": str(attempt.directory), "attempt": attempt.document}
    out(given, document, [f"{attempt.document['model']}, attempt {attempt.id}: {done.state}", f"  {text}", f"  {attempt.directory}"])
    return EXIT.get(done.state, 0)


def _history(given: argparse.Namespace, registry: Registry) -> int:
    from tunewright.retrain import journal

    past = journal.attempts(registry)
    lines = [line for one in past for line in _told(one.document)] or [f"{registry.name}: no attempt yet"]
    out(given, [one.document for one in past], lines)
    return 0


def _told(one: dict[str, Any]) -> list[str]:
    versions = f"{one['champion']} -> {one['challenger'] or '?'}"
    return [f"{one['id']}  {one['kind']:<8} {versions:<8} {one['state']:<12} {one['outcome']}", f"    because: {one['reason']}"]
