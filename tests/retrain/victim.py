"""A process that goes on with an attempt and kills itself when a step has done its work, before it is marked done."""

import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

from tunewright.core.loop import TrafficSettings
from tunewright.core.progress import Report
from tunewright.registry import Registry
from tunewright.retrain import journal, machine
from tunewright.traffic.store import TrafficStore


def go_on(directory: Path, folder: Path, doomed: str) -> None:
    """Advance the attempt of the registry in `directory`; die at the end of the step `doomed`."""
    finish = journal.Attempt.finish

    def last_words(self: journal.Attempt, step: str, result: dict[str, Any]) -> None:
        if step == doomed:
            os.kill(os.getpid(), signal.SIGKILL)
        finish(self, step, result)

    journal.Attempt.finish = last_words  # type: ignore[method-assign]
    registry = Registry(directory)
    with TrafficStore.open(TrafficSettings(keep="text"), folder) as store, journal.single_flight(registry):
        machine.advance(registry, store, Report(quiet=True))


def killed(directory: Path, folder: Path, step: str) -> int:
    """The exit code of such a process: -9 when it got so far, 0 when it waits for traffic."""
    context = multiprocessing.get_context("forkserver")  # a real process, without importing everything again
    context.set_forkserver_preload(["tests.retrain.victim", "torch", "transformers", "peft", "sklearn.linear_model"])
    process = context.Process(target=go_on, args=(directory, folder, step))
    process.start()
    process.join(120)
    assert process.exitcode is not None
    return process.exitcode
