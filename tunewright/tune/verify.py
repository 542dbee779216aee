"""Prove that a killed run goes on to the same bits: train a few steps whole, and again with a kill -9 between, and compare.

`tunewright verify RUN resume` calls `verify_resume`. Both trainings are `python -m tunewright.tune.verify FOLDER [STEP]` on a small
run directory beside the real one's rows; with STEP the process kills itself there.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tunewright.core.errors import RunError
from tunewright.core.executor import THREAD_VARIABLES
from tunewright.core.files import read_json, sha256_file, write_text
from tunewright.core.progress import Report, Task
from tunewright.core.recipe import Recipe
from tunewright.core.run import Run

STEPS, KILLED_AFTER = 4, 3  # the checkpoint is at 2
SMALL = {"max_steps": STEPS, "minutes": None, "evaluations": 2, "validation_rows": 8, "early_stopping": None}


def verify_resume(run: Run, technique: str | None = None) -> str:
    """Train the first candidate of the run's recipe (or the one named `technique`) for four steps on one thread, twice.

    Returns what was proven; raises `RunError` when the two differ.
    """
    import yaml

    from tunewright.tune import candidate_names

    recipe = Recipe.load(run.path("recipe.yaml"))
    names = candidate_names(recipe.tune.techniques)
    name = technique or next(iter(names))
    small = recipe.model_dump() | {"tune": recipe.tune.model_dump() | SMALL | {"techniques": [names[name]]}}
    hashes = []
    with tempfile.TemporaryDirectory() as place:
        for case in ("whole", "killed"):
            folder = Path(place, case)
            write_text(folder / "recipe.yaml", yaml.safe_dump(small))
            (folder / "prepare").symlink_to(run.path("prepare").resolve())
            if case == "killed":
                _train(folder, str(KILLED_AFTER))
            _train(folder)
            learnt = sorted((folder / "tune" / name).glob("*/*.safetensors"))
            hashes.append({f"{file.parent.name}/{file.name}": sha256_file(file) for file in learnt})
        resumed_at = read_json(folder / "tune" / name / "candidate.json")["resumed_at"]
    if hashes[0] != hashes[1] or not hashes[0] or resumed_at != [STEPS // 2]:
        raise RunError(
            f"{name}: killed after step {KILLED_AFTER} of {STEPS} and resumed at {resumed_at}, its weights differ from those of "
            f"an uninterrupted run: {hashes[0]} and {hashes[1]}. The technique or the objective keeps state outside the checkpoint."
        )
    return (
        f"{name}: killed after step {KILLED_AFTER} of {STEPS}, resumed at step {resumed_at[0]}: "
        f"{len(hashes[0])} files of weights equal an uninterrupted run's to the bit"
    )


def _train(folder: Path, *kill: str) -> None:
    environment = os.environ | dict.fromkeys(THREAD_VARIABLES, "1")
    command = [sys.executable, "-m", "tunewright.tune.verify", str(folder), *kill]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode != (-signal.SIGKILL if kill else 0):
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr[-2000:]}")


class _Deadly(Report):
    """Kills its own process, as `kill -9` would, when training has advanced by `steps`."""

    def __init__(self, steps: int) -> None:
        super().__init__(quiet=True)
        self.left = float(steps)

    @contextmanager
    def task(self, description: str, total: float | None = None) -> Iterator[Task]:
        yield self

    def advance(self, n: float = 1, info: str = "", total: float | None = None) -> None:
        self.left -= n
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def main(folder: Path, kill: int | None) -> None:
    from tunewright.tune import candidate_names
    from tunewright.tune.candidate import Job, look_at_untuned, train

    recipe = Recipe.load(folder / "recipe.yaml")
    labels = read_json(folder / "prepare" / "summary.json")["labels"]
    ((name, spec),) = candidate_names(recipe.tune.techniques).items()
    job = Job(folder, recipe, labels, name, spec)
    look_at_untuned(job, Report(quiet=True))
    train(job, Report(quiet=True) if kill is None else _Deadly(kill))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else None)
