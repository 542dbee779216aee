"""`tunewright monitor MODEL_OR_RELEASE`: is the traffic still what the release was proven on?"""

from __future__ import annotations

import argparse
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunewright.commands._shared import out
from tunewright.core.errors import DataError, RunError, TunewrightError

if TYPE_CHECKING:
    from tunewright.monitor.reference import Reference
    from tunewright.monitor.rounds import Round, Watch

HELP = "compare live traffic with the release's own baseline; tell people when it drifts, fails or falls silent"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", metavar="MODEL_OR_RELEASE", help="a model of the registry, a run, or a release")
    parser.add_argument("--registry", metavar="DIR", help="directory of the models (default: $TUNEWRIGHT_REGISTRY or registry)")
    parser.add_argument("--traffic", metavar="URL", help="traffic store (default: the release's serve.traffic.url)")
    parser.add_argument("--watch", nargs="?", const=60.0, type=float, metavar="SECONDS", help="go on, a round every SECONDS (60)")
    parser.add_argument(
        "--replay", metavar="FILE", help="texts that are measured as if they were traffic; nothing is stored, nobody is told"
    )
    parser.add_argument("--endpoint", metavar="URL", help="what serves: asked for the golden prompts, and for the answers of a replay")
    parser.add_argument("--key-env", default="TUNEWRIGHT_API_KEY", metavar="NAME", help="environment variable with the endpoint's API key")
    parser.add_argument("--html", metavar="FILE", help="also write the state and its history as a page, after each round")
    parser.add_argument(
        "--alert", action="append", metavar="URL", help="Apprise URL instead of the release's monitor.alerts.urls; may be repeated"
    )
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override monitor.KEY; may be repeated")


def do(given: argparse.Namespace) -> int:
    from tunewright.monitor.target import find_target

    target = find_target(given.target, given.registry)
    reference = target.reference(given.set)
    return _replay(given, reference) if given.replay else _watch(given, target, reference)


def _watch(given: argparse.Namespace, target: Any, reference: Reference) -> int:
    from tunewright.core.progress import Report
    from tunewright.monitor.deliver import receivers
    from tunewright.monitor.rounds import Watch
    from tunewright.traffic.store import TrafficStore

    if given.watch is not None and given.watch <= 0:
        raise DataError(f"--watch must be a number of seconds above 0, but got {given.watch:g}.")
    settings = reference.traffic.model_copy(update={"url": given.traffic}) if given.traffic else reference.traffic
    to = receivers(reference.settings.alerts.urls if given.alert is None else given.alert)
    report = Report()
    report.say(
        f"{target.model}: alerts go to {', '.join(one.name for one in to) or 'nobody (monitor.alerts.urls is empty); they are shown here'}"
    )
    with TrafficStore.open(settings) as store:
        watch = Watch(target, store, to, given.endpoint, os.environ.get(given.key_env), given.set)
        if given.watch is None:
            return _show(given, watch, watch.round(report=report))
        return _repeat(given, watch, report)


def _repeat(given: argparse.Namespace, watch: Watch, report: Any) -> int:
    """Rounds until it is interrupted; an error is said, and the next round tries again."""
    while True:
        begun = time.monotonic()
        try:
            done = watch.round(report=report)
            for line in done.lines():
                report.say(line)
            _page(given, watch)
        except TunewrightError as error:
            report.say(f"this round failed: {error}")
        time.sleep(max(0.0, given.watch - (time.monotonic() - begun)))


def _page(given: argparse.Namespace, watch: Watch) -> None:
    """Write the page that `--html` asks for."""
    if given.html is None:
        return
    from tunewright.monitor.history import history
    from tunewright.report import write_watch

    write_watch(given.html, history(watch.store, watch.target.model, watch.states(), datetime.now(UTC)))


def _show(given: argparse.Namespace, watch: Watch, done: Round) -> int:
    _page(given, watch)
    states = watch.states()
    lines = [line for one in states for line in [*one.lines(), ""]] + done.lines()
    document = {
        "model": watch.target.model,
        "windows_measured": done.windows,
        "next_window": {stream: {"requests": count, "of": of} for stream, (count, of) in done.waiting.items()},
        "open_alerts": [one.key for one in done.open],
        "delivery": done.delivery.__dict__,
        "problems": done.problems,
        "versions": [one.document() for one in states],
    }
    out(given, document, lines)
    return 1 if done.open else 0


def _replay(given: argparse.Namespace, reference: Reference) -> int:
    from tunewright.monitor.measure import Measurer
    from tunewright.monitor.replay import replay
    from tunewright.monitor.target import ask

    texts = _texts(Path(given.replay))
    key = os.environ.get(given.key_env)
    answers = ask(given.endpoint, reference.version, texts.to_list(), key) if given.endpoint else None
    done = replay(Measurer(reference), texts, answers)
    out(given, done.document(), done.lines())
    return 1 if done.raised else 0


def _texts(path: Path) -> Any:
    """The texts of a file: lines of a .txt, otherwise the column that `init` would take."""
    import polars as pl

    from tunewright.core.recipe import Recipe
    from tunewright.sources import read_rows
    from tunewright.starter import guess_settings

    if not path.is_file():
        raise RunError(f"--replay {path}: there is no such file.")
    if path.suffix == ".txt":
        return pl.Series("text", [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()], dtype=pl.String)
    guessed = guess_settings(path)[0]
    values = {name: guessed[name] for name in ("text", "format", "encoding") if name in guessed}
    data = Recipe.check({"data": {**values, "path": str(path.resolve())}}, "command line").data
    return read_rows(data.model_copy(update={"layout": "text", "label": "\x00no label"})).rows["text"]
