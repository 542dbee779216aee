"""The lifecycle. Read this file first: a run is these stages, in this order, each in the folder of its name.

    rows (csv, jsonl, parquet)
      -> audit      reads the rows, gives them ids, says what is wrong with them        changes nothing
      -> prepare    repairs, drops, redacts with reasons; splits leak-safe; seals the test
      -> tune       trains each technique under the same budget; validation picks the winner
      -> evaluate   opens the sealed test once: baselines, candidates, statistics, verdict
      -> explain    why the winner answers as it does, on validation rows
      -> release    packs the winner, proves that plain libraries give the same answers
      -> report     one HTML file about all of it

Stages meet only in the run directory. Each ends by writing `done.json`, last of all; a finished stage whose inputs have not
changed is skipped, an unfinished one goes on where it stopped, and one whose recipe changed runs again (what it wrote before is
moved to `superseded/`, never deleted).
"""

from __future__ import annotations

import os
import platform
import shutil
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

from tunewright import __version__, sources
from tunewright.core import interrupt
from tunewright.core.errors import RunError
from tunewright.core.executor import LocalExecutor, executor_for
from tunewright.core.files import fingerprint, read_json, sha256_file, write_json, write_text
from tunewright.core.ledger import Ledger
from tunewright.core.plugins import build
from tunewright.core.progress import Report
from tunewright.core.recipe import Recipe
from tunewright.core.run import Context, PeakMemory, Run, cpu_seconds
from tunewright.core.settings import did_you_mean


@dataclass(frozen=True)
class Stage:
    """`run(context)` of `tunewright.NAME`, and the recipe sections that its results depend on."""

    name: str
    sections: tuple[str, ...]


STAGES = (
    Stage("audit", ("data", "audit", "model")),
    Stage("prepare", ("prepare",)),
    Stage("tune", ("tune",)),
    Stage("evaluate", ("evaluate",)),
    Stage("explain", ("explain",)),
    Stage("release", ("release", "serve", "monitor", "retrain")),
)
NAMES = [stage.name for stage in STAGES]
DATA_STAGES = ("audit", "prepare")
_VERSIONS = ("torch", "transformers", "peft", "polars", "numpy", "scikit-learn")


def run(
    recipe: Recipe | str | Path,
    directory: str | Path | None = None,
    start: str | None = None,
    until: str | None = None,
    report: Report | None = None,
) -> Run:
    """Take the rows of `recipe` through the lifecycle; return the run, whose `.verdict` and `.findings` hold the results.

    `start` runs that stage and the later ones again even when they are done; `until` is the last stage to run. Ends early when
    the audit's findings are over the recipe's policy (`audit.fail_on`). Raises `TunewrightError` for what a user can mend.
    """
    name = "run" if isinstance(recipe, Recipe) else Path(recipe).stem
    recipe = recipe if isinstance(recipe, Recipe) else Recipe.load(recipe)
    first, last = (_index(start, "--from") if start else len(STAGES), _index(until, "--until") if until else len(STAGES) - 1)
    report = report or Report()
    run = Run(directory or Path("runs") / name)
    with run.locked():
        context = Context(recipe, run, Ledger(run.path("ledger.parquet")), executor_for(recipe.compute, report), report)
        _tidy(run)
        _save_recipe(run, recipe)
        for index, stage in enumerate(STAGES[: last + 1]):
            done = run_stage(stage, context, again=index >= first)
            if done["failed"]:
                report.say(f"Stopped after {stage.name}: its findings are over the recipe's policy (audit.fail_on).")
                break
        write_report(run)
    return run


def run_only(name: str, recipe: Recipe, directory: str | Path, report: Report | None = None) -> Run:
    """Run the single stage `name` (again, if its recipe changed) on what the stages before it have left in `directory`."""
    report = report or Report()
    run = Run(directory)
    with run.locked():
        context = Context(recipe, run, Ledger(run.path("ledger.parquet")), executor_for(recipe.compute, report), report)
        _tidy(run)
        _save_recipe(run, recipe)
        run_stage(STAGES[_index(name, "stage")], context)
        write_report(run)
    return run


def write_report(run: Run) -> Path:
    """Write `report.html` from whatever the run directory holds so far, how far its reviewers agree included."""
    if run.path("review", "log.jsonl").exists() and run.path("audit", "rows.parquet").exists():
        status, desk = (import_module(f"tunewright.prepare.review.{name}") for name in ("status", "desk"))
        write_json(run.path("review", "agreement.json"), status.agree(desk.Review(run)))
    write = import_module("tunewright.report").write_report
    return Path(write(run.directory))


def run_stage(stage: Stage, context: Context, again: bool = False) -> dict[str, Any]:
    """Run one stage unless it is done for these inputs; return its completion marker."""
    interrupt.check()
    run, report = context.run, context.report
    if stage.name not in DATA_STAGES:  # models are trained and judged on this machine
        context = replace(context, executor=LocalExecutor(report))
    inputs = _inputs(stage, context)
    done = run.done(stage.name)
    if done is not None and done["inputs"] == inputs and not again:
        report.say(f"{stage.name:<9} done before ({done['finished']}), skipped")
        return done
    _require_classes(stage, run)
    resumed = _make_room(stage, run, inputs, finished=done is not None)
    report.say(f"{stage.name:<9} {'going on where it stopped' if resumed else _DOES[stage.name]}")
    run.event("stage_started", stage=stage.name, inputs=inputs, resumed=resumed)
    write_json(run.path(stage.name, "started.json"), {"inputs": inputs})
    context.ledger.start(stage.name)
    clock, cpu = time.monotonic(), cpu_seconds()
    try:
        with PeakMemory() as memory:
            result = import_module(f"tunewright.{stage.name}").run(context)
    except BaseException as error:
        took = {"seconds": round(time.monotonic() - clock, 2), "cpu_seconds": round(cpu_seconds() - cpu, 2)}
        run.event("stage_failed", stage=stage.name, error=f"{type(error).__name__}: {error}", **took)
        raise
    done = {
        "stage": stage.name,
        "inputs": inputs,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(time.monotonic() - clock, 2),
        "cpu_seconds": round(cpu_seconds() - cpu, 2),
        "peak_memory_bytes": memory.bytes,
        "versions": _versions(),
        "machine": {"cores": os.cpu_count(), "processor": platform.processor() or platform.machine(), "system": platform.system()},
        "summary": result.summary(),
        "failed": bool(getattr(result, "failed", False)),
    }
    write_json(run.path(stage.name, "done.json"), done)
    run.event("stage_done", stage=stage.name, seconds=done["seconds"], cpu_seconds=done["cpu_seconds"], peak_memory_bytes=memory.bytes)
    for line in done["summary"]:
        report.say(f"          {line}")
    report.say(f"          ({done['seconds']:.0f} s, {memory.bytes / 2**30:.1f} GiB at most)")
    return done


_DOES = {
    "audit": "reading the rows and looking for what is wrong with them",
    "prepare": "repairing, dropping and redacting with reasons; splitting; sealing the test",
    "tune": "training each technique under the same budget",
    "evaluate": "opening the sealed test: baselines, candidates, statistics",
    "explain": "asking the winner why",
    "release": "packing the winner and checking it in a fresh process",
}


def _index(name: str, flag: str) -> int:
    if name not in NAMES:
        raise RunError(f"{flag} must be a stage, but got {name!r}.{did_you_mean(name, NAMES)}")
    return NAMES.index(name)


def _require_classes(stage: Stage, run: Run) -> None:
    """Raise `RunError` when the rows have no classes and the stage is about them."""
    summary = run.path("audit", "summary.json")
    task = read_json(summary).get("task", "classification") if summary.exists() else "classification"
    if task != "classification" and stage.name not in ("audit", "prepare"):
        raise RunError(
            f"{stage.name}: the rows are for {task} (data.layout), and {stage.name} handles classification today: rows with data.text and "
            "data.label. Audit and preparation are done; `--until prepare` stops there."
        )


def _inputs(stage: Stage, context: Context) -> str:
    """Fingerprint of all that the results of `stage` depend on: its sections, the version, the data or the stage before."""
    settings = {section: getattr(context.recipe, section).model_dump() for section in stage.sections}
    index = NAMES.index(stage.name)
    if index == 0:
        before = sources.fingerprint(context.recipe.data)
    else:
        earlier = context.run.done(NAMES[index - 1])
        if earlier is None:
            raise RunError(f"{stage.name} needs the results of {NAMES[index - 1]} in {context.run.directory}. Run that stage first.")
        before = earlier["inputs"]
    return fingerprint([__version__, settings, before, *_files_read(stage, context)])


def _files_read(stage: Stage, context: Context) -> list[str]:
    """Hashes of files that steps read besides the rows: labels to apply, review logs."""
    if stage.name != "prepare":
        return []
    steps = [build("steps", spec) for spec in context.recipe.prepare.steps]
    files = [file for step in steps for file in step.reads(context.run.directory)]
    return [sha256_file(file) if file.is_file() else "missing" for file in files]


def _make_room(stage: Stage, run: Run, inputs: str, finished: bool) -> bool:
    """Keep what an interrupted attempt at the same inputs left; move anything else out of the way. True when work is kept."""
    folder = run.path(stage.name)
    started = folder / "started.json"
    if not started.exists():
        return False
    if not finished and read_json(started).get("inputs") == inputs:
        return True
    old = run.path("superseded", f"{stage.name}-{datetime.now(UTC):%Y%m%d-%H%M%S}")
    while old.exists():  # within one second
        old = old.with_name(f"{old.name}x")
    old.mkdir(parents=True)
    for child in sorted(folder.iterdir(), key=lambda one: one == started):
        if child.name == "seal.json":
            shutil.copy(child, old)
        else:
            shutil.move(child, old / child.name)
    return False


def _versions() -> dict[str, str]:
    found = {"tunewright": __version__, "python": platform.python_version()}
    for name in _VERSIONS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _tidy(run: Run) -> None:
    """Clear what a killed process left half done; the caller holds the lock, so none of it is in use (see `core.files`)."""
    for left in run.directory.rglob(".*.old"):
        place = left.with_name(left.name[1:].rsplit(".", 2)[0])
        if place.exists():
            shutil.rmtree(left)
        else:
            left.rename(place)
    for left in run.directory.rglob(".*.tmp"):
        shutil.rmtree(left) if left.is_dir() else left.unlink()


def _save_recipe(run: Run, recipe: Recipe) -> None:
    import yaml

    write_json(run.path("resolved.json"), recipe.model_dump())
    write_text(run.path("recipe.yaml"), yaml.safe_dump(recipe.model_dump(), sort_keys=False, allow_unicode=True))
