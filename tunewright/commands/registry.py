"""`tunewright registry WHAT`: look at versions, take one in, check files, collect garbage, tell MLflow."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from tunewright.commands._shared import out, user

if TYPE_CHECKING:
    from tunewright.registry import Registry, State

HELP = "versions of releases: list, show, register, verify, history, garbage collection, MLflow"


def arguments(parser: argparse.ArgumentParser) -> None:
    whats = parser.add_subparsers(dest="what", metavar="WHAT", required=True)

    def what(name: str, text: str, do: Any) -> argparse.ArgumentParser:
        one = whats.add_parser(name, help=text, description=text, allow_abbrev=False)
        one.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="one JSON document on stdout")
        one.add_argument("--registry", metavar="DIR", help="(default: $TUNEWRIGHT_REGISTRY or registry)")
        one.set_defaults(part=do)
        return one

    what("list", "the models, and which version of each serves", _list)
    show = what("show", "a model's versions, or all about one of them", _show)
    show.add_argument("ref", metavar="MODEL[@VERSION]")
    register = what("register", "take in the release of a run as the next version, which serves nobody yet", _register)
    register.add_argument("run", metavar="RUN", help="a run or a release directory")
    register.add_argument("--as", dest="model", metavar="MODEL", help="name of the model (default: the run's name)")
    register.add_argument("--reason", default="registered by hand", metavar="WHY", help="for the history")
    register.add_argument("--by", metavar="NAME", help="who decides (default: your user name)")
    register.add_argument("--challenger", action="store_true", help="name it the challenger")
    verify = what("verify", "check the hash of every file of a model's versions", _verify)
    verify.add_argument("ref", metavar="MODEL[@VERSION]")
    gc = what("gc", "remove the files of old versions; never of one that serves, may soon, or would after a rollback", _gc)
    gc.add_argument("model", metavar="MODEL")
    gc.add_argument("--keep", type=int, default=5, metavar="N", help="newest versions to keep besides (5)")
    history = what("history", "who changed what, when and why", _history)
    history.add_argument("model", metavar="MODEL")
    mlflow = what("mlflow", "write versions, aliases, parameters, metrics and lineage to MLflow's model registry", _mlflow)
    mlflow.add_argument("model", metavar="MODEL")
    mlflow.add_argument("--tracking-uri", required=True, metavar="URI", help="sqlite:///mlflow.db, postgresql://... or http://...")


def do(given: argparse.Namespace) -> int:
    return int(given.part(given) or 0)


def _list(given: argparse.Namespace) -> None:
    from tunewright.registry import models, open_model, root

    states = [open_model(name, given.registry).state() for name in models(given.registry)]
    lines = [f"{one.model}: {_serving(one)}" for one in states] or [f"No model is registered in {root(given.registry)}."]
    out(given, {"registry": str(root(given.registry)), "models": [_short(one) for one in states]}, lines)


def _serving(state: State) -> str:
    champion = f"champion {state.champion}" if state.champion is not None else "no champion"
    challenger = f", challenger {state.challenger}" if state.challenger is not None else ""
    rollout = state.rollout
    share = f", {rollout.mode} of {rollout.challenger} for {rollout.share:.0%}" if rollout else ""
    count = len(state.versions)
    return f"{champion}{challenger}{share}; {count} version{'' if count == 1 else 's'}"


def _short(state: State) -> dict[str, Any]:
    rollout = asdict(state.rollout) if state.rollout else None
    return {
        "model": state.model,
        **dict(state.aliases),
        "previous": list(state.previous),
        "rollout": rollout,
        "versions": len(state.versions),
    }


def _show(given: argparse.Namespace) -> None:
    from tunewright.registry import find, open_model

    if "@" not in given.ref:
        state = open_model(given.ref, given.registry).state()
        out(given, state.document(), [f"{state.model}: {_serving(state)}", *(_line(state, number) for number in state.versions)])
        return
    registry, number = find(given.ref, given.registry)
    one = registry.state().versions[number]
    data = one.lineage.get("data", {})
    lines = [
        f"{registry.name}@{number}: {one.verdict}, {one.state}, registered {one.created}, weights {one.release_fingerprint}",
        f"  files: {registry.path(number) if one.state == 'ready' else 'collected'}",
        f"  run: {one.run or 'not told'}; improves on: {one.parent or 'nothing'}",
        f"  rows: {', '.join(f'{name} {count:,}' for name, count in data.get('rows', {}).items()) or 'not told'}; data {data.get('fingerprint', '?')}",
        *(f"  gate {gate['name']}: {_mark(gate)} {gate.get('text', '')}" for gate in one.gates),
    ]
    out(given, {"model": registry.name, "version": number, **asdict(one)}, lines)


def _line(state: State, number: int) -> str:
    one = state.versions[number]
    names = [name for name, other in state.aliases.items() if other == number]
    marks = ", ".join([*names, *(["previous champion"] if number in state.previous[-1:] else []), one.state])
    return f"  {number:>3}  {one.created[:16]}  {one.verdict:<12}  {one.release_fingerprint}  {marks}"


def _mark(gate: Mapping[str, Any]) -> str:
    marks: dict[Any, str] = {True: "passed:", False: "FAILED:"}
    return marks.get(gate.get("passed"), "cannot tell:")


def _register(given: argparse.Namespace) -> None:
    from tunewright.core.errors import RunError
    from tunewright.registry import locate, open_model

    place = locate(given.run, given.registry)
    if place.registry is not None:
        raise RunError(f"{given.run} is registered already, as {place}.")
    registry = open_model(given.model or place.name, given.registry, new=True)
    by = given.by or user()
    version = registry.register(place.directory, run=place.run, reason=given.reason, by=by)
    if given.challenger:
        registry.set_challenger(version, reason=given.reason, by=by)
    said = f"{registry.name}@{version} is registered{' and the challenger' if given.challenger else ''}; it serves nobody yet."
    if registry.state().champion == version:
        said = f"{registry.name}@{version} is registered already, and the champion."
    out(given, {"model": registry.name, "version": version, "directory": str(registry.path(version))}, [said])


def _verify(given: argparse.Namespace) -> int:
    from tunewright.core.errors import RunError
    from tunewright.registry import open_model

    name, _, version = given.ref.partition("@")
    registry = open_model(name, given.registry)
    ready = [number for number, one in registry.state().versions.items() if one.state == "ready"]
    results = [_checked(registry, number) for number in ([registry.resolve(version)] if version else ready)]
    if not results:
        raise RunError(f"{name} has no version with files to check.")
    lines = [f"{'ok' if one['ok'] else 'FAIL':<4}  {name}@{one['version']}  {one['text']}" for one in results]
    out(given, {"model": name, "results": results}, lines)
    return 0 if all(one["ok"] for one in results) else 1


def _checked(registry: Registry, number: int) -> dict[str, Any]:
    from tunewright.core.errors import TunewrightError

    try:
        return {"version": number, "ok": True, "text": f"{registry.verify(number)} files are as they were registered"}
    except TunewrightError as error:
        return {"version": number, "ok": False, "text": str(error)}


def _gc(given: argparse.Namespace) -> None:
    from tunewright.registry import open_model

    gone = open_model(given.model, given.registry).collect_garbage(given.keep, by=user())
    said = (
        f"{given.model}: files of version {', '.join(map(str, gone))} removed; what is known of them stays."
        if gone
        else "Nothing to remove."
    )
    out(given, {"model": given.model, "removed": gone}, [said])


def _history(given: argparse.Namespace) -> None:
    from tunewright.registry import open_model

    told = open_model(given.model, given.registry).history()
    lines = [f"{one['time'][:19]}  {one['by']:<12}  {one['action']:<15}  {one.get('version') or '':<4}  {one['reason']}" for one in told]
    out(given, {"model": given.model, "history": told}, lines)


def _mlflow(given: argparse.Namespace) -> None:
    from tunewright.registry import open_model
    from tunewright.registry.mlflow import export

    done = export(open_model(given.model, given.registry), given.tracking_uri)
    out(given, done, [f"{done['model']}: {len(done['versions'])} versions in {given.tracking_uri}; {len(done['new'])} of them new."])
