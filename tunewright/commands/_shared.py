"""What several commands need: recipes and their overrides, run directories, and the one way to print a result."""

from __future__ import annotations

import argparse
import getpass
import json
from pathlib import Path
from typing import Any

from tunewright.core.errors import RunError
from tunewright.core.run import Run

EXIT = {"SHIP": 0, "DON'T SHIP": 1, "INCONCLUSIVE": 3}
STAGES = ("audit", "prepare", "tune", "evaluate", "explain", "release")


def with_recipe(parser: argparse.ArgumentParser, what: str = "RECIPE", optional: bool = False) -> None:
    """A recipe and `--set KEY=VALUE`."""
    parser.add_argument("recipe", metavar=what, nargs="?" if optional else None)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a key of the recipe; may be repeated")


def with_run(parser: argparse.ArgumentParser) -> None:
    """`--run DIR`, for commands that take a recipe."""
    parser.add_argument("--run", metavar="DIR", help="run directory (default: runs/NAME_OF_THE_RECIPE)")


def directory(given: argparse.Namespace) -> Path:
    """The run directory of a command that takes a recipe."""
    return Path(given.run) if given.run else Path("runs") / Path(given.recipe).stem


def existing(path: str) -> Run:
    """The run at `path`. Raises RunError when there is none."""
    if not Path(path, "resolved.json").is_file():
        raise RunError(f"{path} is not a run directory: it holds no resolved.json. `tunewright run RECIPE` makes one.")
    return Run(path)


def tell_report(run: Path | None) -> None:
    """Write the report of a run again, when something about its release was measured. Nothing when there is no run."""
    if run is not None and (run / "resolved.json").is_file():
        from tunewright.lifecycle import write_report

        write_report(Run(run))


def user() -> str:
    """Who runs the command, as histories name them."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def out(given: argparse.Namespace, document: Any, lines: list[str]) -> None:
    """Print `document` as JSON when `--json` was given, else the lines."""
    print(json.dumps(document, indent=2, ensure_ascii=False, default=str) if given.json else "\n".join(lines))


def finish(given: argparse.Namespace, run: Run, stage: str | None = None) -> int:
    """Print where things are and, when there is one, the verdict; the exit code follows from it."""
    done = {name: marker for name in STAGES if (marker := run.done(name))}
    audit_failed = bool(done.get("audit", {}).get("failed"))
    verdict = run.verdict if "evaluate" in done and stage in (None, "evaluate") else None
    document = {
        "run": str(run.directory),
        "report": str(run.path("report.html")),
        "stages": {name: {"seconds": one["seconds"], "summary": one["summary"]} for name, one in done.items()},
        "verdict": verdict,
    }
    lines = [f"report: {run.path('report.html')}"]
    if verdict:
        lines = [f"VERDICT: {verdict['verdict']}", *(_gate(gate) for gate in verdict["gates"]), "", *lines]
    out(given, document, lines)
    if verdict:
        return EXIT[verdict["verdict"]]
    return 1 if audit_failed and stage in (None, "audit") else 0


def _gate(gate: dict[str, Any]) -> str:
    mark = {True: "yes", False: "NO ", None: "?  "}[gate["passed"]]
    return f"  {mark}  {gate['text']}"
