"""Candidates of an earlier recipe that this one has too: trained once is enough.

A recipe that gets one more technique starts the stage anew, and the old results move to `superseded/`. A candidate there with the same
rows, prompts, settings and seed would come out the same, so it is linked back instead of trained again.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from tunewright import __version__
from tunewright.core.files import fingerprint, link, read_json, sha256_file
from tunewright.core.plugins import PartSpec, build
from tunewright.core.run import Context

SHARED = {"techniques", "workers"}  # of `tune`: which candidates there are, not what one learns


def inputs_of(context: Context, spec: PartSpec, side_by_side: int) -> str:
    """Fingerprint of all that the candidate `spec` depends on; in a budget of time, how many share the processor is part of it."""
    recipe, prepared = context.recipe, context.run.path("prepare")
    told = [recipe.data.model_dump(), recipe.model.model_dump(), recipe.tune.model_dump(exclude=SHARED)]
    rows = [sha256_file(prepared / f"{name}.parquet") for name in ("train", "validation")]
    timed = recipe.tune.minutes is not None and recipe.tune.max_steps is None
    told.append({"side_by_side": side_by_side if timed else 1})
    return fingerprint([__version__, told, read_json(prepared / "summary.json")["labels"], rows, build("techniques", spec).model_dump()])


def take_back(context: Context, name: str, inputs: str) -> bool:
    """Link the finished candidate `name` back from the attempt that was just superseded. False when there is none like it, or when the
    recipe is the same: then the stage was asked for again."""
    folder = context.run.path("tune")
    last = max(context.run.path("superseded").glob("tune-*/started.json"), default=None)
    if last is None or (folder / name).exists() or _inputs(last) == _inputs(folder / "started.json"):
        return False
    found = last.parent / name
    if not (found / "candidate.json").is_file() or read_json(found / "candidate.json").get("inputs") != inputs:
        return False
    half = folder / f".{name}.half"
    shutil.rmtree(half, ignore_errors=True)
    shutil.copytree(found, half, copy_function=link)
    if not (folder / "untuned.json").exists():
        link(last.parent / "untuned.json", folder / "untuned.json")
    half.rename(folder / name)
    return True


def _inputs(started: Path) -> str | None:
    return str(read_json(started)["inputs"]) if started.is_file() else None
