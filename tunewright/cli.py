"""The commands. A recipe and `--set key=value` say everything; nothing of the recipe is mirrored as an option.

Exit codes: 0 fine, 1 findings over policy or DON'T SHIP, 2 bad input, 3 INCONCLUSIVE. With `--json` stdout holds one JSON
document and nothing else; progress and messages always go to stderr.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from tunewright import __version__
from tunewright.core.errors import DiskFull, RunError, TunewrightError
from tunewright.core.progress import Report
from tunewright.core.recipe import Recipe
from tunewright.core.run import Run

EXIT = {"SHIP": 0, "DON'T SHIP": 1, "INCONCLUSIVE": 3}
STAGES = ("audit", "prepare", "tune", "evaluate", "explain", "release")
VERIFIERS = ("ledger", "resume", "tokens", "parity", "seal")


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return its exit code."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    given = _parser().parse_args(arguments)
    if not hasattr(given, "do"):
        _parser().print_help()
        return 2
    try:
        return int(given.do(given))
    except TunewrightError as error:
        return _fail(given, str(error), error.exit_code)
    except KeyboardInterrupt:
        return _fail(given, "Interrupted. What was finished is kept: run the same command again to go on.", 130)
    except OSError as error:
        if error.errno == 28:
            return _fail(given, str(DiskFull(f"{error.filename or 'disk'}: no space left. Free some and run the same command again.")), 2)
        raise


def _fail(given: argparse.Namespace, message: str, code: int) -> int:
    if getattr(given, "json", False):
        print(json.dumps({"error": message, "exit_code": code}))
    print(f"error: {message}" if code != 130 else f"\n{message}", file=sys.stderr)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tunewright", description="Fine-tune language models on evidence.", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"tunewright {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", title="commands")

    def command(name: str, do: Any, text: str) -> argparse.ArgumentParser:
        one = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        one.add_argument("--json", action="store_true", help="one JSON document on stdout")
        one.set_defaults(do=do, json=False)
        return one

    def with_recipe(one: argparse.ArgumentParser, what: str = "RECIPE", optional: bool = False) -> None:
        one.add_argument("recipe", metavar=what, nargs="?" if optional else None)
        one.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a key of the recipe; may be repeated")

    init = command("init", _init, "look at the data and write a commented recipe")
    init.add_argument("data", metavar="DATA")
    init.add_argument("-o", "--output", default="recipe.yaml", metavar="FILE")

    doctor = command("doctor", _doctor, "check the environment, and a recipe: masks, memory and time")
    with_recipe(doctor, optional=True)
    doctor.add_argument("--show-mask", type=int, metavar="N", help="show which tokens of the first N rows the loss looks at")

    whole = command("run", _run, "the whole lifecycle up to a release; goes on with what is unfinished")
    with_recipe(whole)
    whole.add_argument("--run", metavar="DIR", help="run directory (default: runs/NAME_OF_THE_RECIPE)")
    whole.add_argument("--from", dest="start", metavar="STAGE", help="run this stage and the later ones again")
    whole.add_argument("--until", metavar="STAGE", help="stop after this stage")
    for name in STAGES:
        text = "only the stage " + name + (" (of a recipe, or of a data file)" if name == "audit" else "")
        one = command(name, _audit_file if name == "audit" else _stage, text)
        with_recipe(one, "RECIPE_OR_DATA" if name == "audit" else "RECIPE")
        one.add_argument("--run", metavar="DIR", help="run directory (default: runs/NAME_OF_THE_RECIPE)")
        one.set_defaults(stage=name)

    report = command("report", _report, "write one self-contained HTML file about a run")
    report.add_argument("run", metavar="RUN")
    listing = command("list", _list, "the parts that a recipe can name")
    listing.add_argument("kind", metavar="KIND", help="checks, steps, techniques, objectives, metrics, baselines or explainers")
    verify = command("verify", _verify, "check the evidence of a run again")
    verify.add_argument("run", metavar="RUN")
    verify.add_argument("what", nargs="?", choices=VERIFIERS, metavar="WHAT", help=f"{', '.join(VERIFIERS)} (default: all but resume)")
    return parser


def _init(given: argparse.Namespace) -> int:
    from tunewright.starter import write_recipe

    notes = write_recipe(Path(given.data), Path(given.output))
    _out(given, {"recipe": given.output, "notes": notes}, [*notes, f"Wrote {given.output}. Next: tunewright run {given.output}"])
    return 0


def _doctor(given: argparse.Namespace) -> int:
    from tunewright.doctor import examine

    recipe = Recipe.load(given.recipe, given.set) if given.recipe else None
    if given.show_mask is not None and recipe is None:
        raise TunewrightError("--show-mask needs a recipe: tunewright doctor RECIPE --show-mask 2")
    document, lines = examine(recipe, given.show_mask or 0)
    _out(given, document, lines)
    return 0 if document["ok"] else 2


def _run(given: argparse.Namespace) -> int:
    from tunewright import lifecycle

    recipe = Recipe.load(given.recipe, given.set)
    run = lifecycle.run(recipe, _directory(given), given.start, given.until, Report())
    return _finish(given, run)


def _stage(given: argparse.Namespace) -> int:
    from tunewright import lifecycle

    recipe = Recipe.load(given.recipe, given.set)
    run = lifecycle.run_only(given.stage, recipe, _directory(given), Report())
    return _finish(given, run, given.stage)


def _audit_file(given: argparse.Namespace) -> int:
    if Path(given.recipe).suffix.lower() in (".yaml", ".yml"):
        return _stage(given)
    if given.run:
        raise RunError("--run goes with a recipe; auditing a data file writes nothing. `tunewright init DATA` makes a recipe.")
    from tunewright.audit import audit_frame
    from tunewright.starter import guess_settings

    values, _ = guess_settings(Path(given.recipe))
    values["path"] = str(Path(given.recipe).resolve())
    result = audit_frame(Recipe.check({"data": values}, "command line", overrides=given.set), report=Report())
    _out(given, {"summary": result.summary(), "failed": result.failed, "counts": result.counts}, result.summary())
    return 1 if result.failed else 0


def _directory(given: argparse.Namespace) -> Path:
    return Path(given.run) if given.run else Path("runs") / Path(given.recipe).stem


def _finish(given: argparse.Namespace, run: Run, stage: str | None = None) -> int:
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
    _out(given, document, lines)
    if verdict:
        return EXIT[verdict["verdict"]]
    return 1 if audit_failed and stage in (None, "audit") else 0


def _gate(gate: dict[str, Any]) -> str:
    mark = {True: "yes", False: "NO ", None: "?  "}[gate["passed"]]
    return f"  {mark}  {gate['text']}"


def _report(given: argparse.Namespace) -> int:
    from tunewright.lifecycle import write_report

    path = write_report(_existing(given.run))
    _out(given, {"report": str(path)}, [str(path)])
    return 0


def _list(given: argparse.Namespace) -> int:
    from tunewright.core import plugins

    if given.kind not in plugins.FOLDERS:
        from tunewright.core.settings import did_you_mean

        raise TunewrightError(f"there are no {given.kind!r} to list.{did_you_mean(given.kind, list(plugins.FOLDERS))}")
    parts, lines = [], []
    for name in plugins.names(given.kind):
        part = plugins.load(given.kind, name)
        first = (part.__doc__ or "").strip().splitlines()[0]
        fields = {
            key: {"default": field.get_default(call_default_factory=True), "description": field.description}
            for key, field in part.model_fields.items()
        }
        parts.append({"name": name, "description": first, "settings": fields})
        lines.append(f"{name:<22} {first}")
        lines += [f"{'':<24}{key} = {field['default']}   {field['description'] or ''}".rstrip() for key, field in fields.items()]
    _out(given, {given.kind: parts}, lines)
    return 0


def _verify(given: argparse.Namespace) -> int:
    from tunewright.verify import verify

    run = _existing(given.run)
    results = verify(run, [given.what] if given.what else [one for one in VERIFIERS if one != "resume"])
    lines = [f"{'ok  ' if one['ok'] else 'FAIL'}  {one['name']:<8} {one['text']}" for one in results]
    _out(given, {"run": str(run.directory), "results": results}, lines)
    return 0 if all(one["ok"] for one in results) else 1


def _existing(directory: str) -> Run:
    if not Path(directory, "resolved.json").is_file():
        raise RunError(f"{directory} is not a run directory: it holds no resolved.json. `tunewright run RECIPE` makes one.")
    return Run(directory)


def _out(given: argparse.Namespace, document: Any, lines: list[str]) -> None:
    print(json.dumps(document, indent=2, ensure_ascii=False, default=str) if given.json else "\n".join(lines))


if __name__ == "__main__":
    sys.exit(main())
