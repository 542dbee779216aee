"""Where work runs: in this process, side by side in fresh ones on this machine, or on a cluster (`core.ray`).

A worker is `python -m tunewright.core.worker`. It gets a function and one item, sends progress and then its result through a
private pipe, and ends when its parent does, however the parent ends. Threads are shared out: two workers on two cores compute
with one thread each, because two candidates side by side do about 1.4 times the work of one candidate with two threads.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from importlib import import_module
from typing import Any, Protocol, TypeVar

from tunewright.core.cores import cores as cores
from tunewright.core.errors import RunError
from tunewright.core.progress import Report, Task
from tunewright.core.recipe import ComputeSettings

Item = TypeVar("Item")
Result = TypeVar("Result")
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "POLARS_MAX_THREADS")


class Executor(Protocol):
    """Runs one function over many items, somewhere."""

    def map(self, fn: Callable[[Item, Report], Result], items: Sequence[Item], workers: int = 1) -> list[Result]:
        """`[fn(item, report) for item in items]`, at most `workers` at a time, results in the order of `items`.

        With more than one worker `fn` must be importable and items and results must pickle. The first error stops the rest.
        """

    def slots(self) -> int:
        """Tasks that can run at a time."""

    def close(self) -> None:
        """Free what the executor holds; it can be used again."""


def workers_for(compute: ComputeSettings, executor: Executor) -> int:
    """How many tasks the recipe lets run at a time."""
    return executor.slots() if compute.workers == "auto" else compute.workers


def executor_for(compute: ComputeSettings, report: Report) -> Executor:
    """The executor that the recipe asks for. Raises `EnvironmentProblem` when its package is missing."""
    if compute.engine == "ray":
        ray: Executor = import_module("tunewright.core.ray").RayExecutor(report, compute.address)
        return ray
    return LocalExecutor(report)


class LocalExecutor:
    """Runs functions on this machine."""

    def __init__(self, report: Report) -> None:
        self.report = report

    def slots(self) -> int:
        return cores()

    def close(self) -> None:
        return

    def map(self, fn: Callable[[Item, Report], Result], items: Sequence[Item], workers: int = 1) -> list[Result]:
        """In this process with one worker, in a fresh process for each item with more."""
        if workers <= 1 or len(items) <= 1:
            return [fn(item, self.report) for item in items]
        results: dict[int, Result] = {}
        errors: list[BaseException] = []
        waiting = list(enumerate(items))
        running: set[subprocess.Popen[bytes]] = set()
        lock = threading.Lock()

        def work() -> None:
            while True:
                with lock:
                    if not waiting or errors:
                        return
                    index, item = waiting.pop(0)
                try:
                    value = _in_worker(fn, item, self.report, max(1, cores() // workers), running)
                    with lock:
                        results[index] = value
                except BaseException as error:
                    with lock:
                        errors.append(error)
                        _stop(running)
                    return

        threads = [threading.Thread(target=work, daemon=True) for _ in range(min(workers, len(items)))]
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                while thread.is_alive():
                    thread.join(0.2)
        except BaseException:
            with lock:
                waiting.clear()
                _stop(running)
            raise
        if errors:
            raise errors[0]
        return [results[index] for index in range(len(items))]


class ThreadExecutor(LocalExecutor):
    """Runs functions in threads of this process: for those that compute without the interpreter's lock."""

    def map(self, fn: Callable[[Item, Report], Result], items: Sequence[Item], workers: int = 1) -> list[Result]:
        return in_threads([partial(fn, item, self.report) for item in items], workers)


def in_threads(jobs: Sequence[Callable[[], Result]], workers: int) -> list[Result]:
    """`[job() for job in jobs]` in `workers` threads of this process; the first error stops the rest.

    The first thread takes jobs from the front, the others from the back: put at the front what must not wait for each other.
    """
    if workers <= 1 or len(jobs) <= 1:
        return [job() for job in jobs]
    waiting = deque(enumerate(jobs))
    results: dict[int, Result] = {}
    errors: list[BaseException] = []

    def work(take: Callable[[], tuple[int, Callable[[], Result]]]) -> None:
        with suppress(IndexError):
            while not errors:
                index, job = take()
                try:
                    results[index] = job()
                except BaseException as error:
                    errors.append(error)

    takes = [waiting.popleft] + [waiting.pop] * (min(workers, len(jobs)) - 1)
    threads = [threading.Thread(target=work, args=(take,), daemon=True) for take in takes]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            while thread.is_alive():
                thread.join(0.2)
    except BaseException:
        waiting.clear()
        raise
    if errors:
        raise errors[0]
    return [results[index] for index in range(len(jobs))]


def _stop(running: set[subprocess.Popen[bytes]]) -> None:
    for process in list(running):
        process.terminate()


def _in_worker(fn: Any, item: Any, report: Report, threads: int, running: set[subprocess.Popen[bytes]]) -> Any:
    """Run one item in a fresh process and follow its messages: ('task', id, description, total), ('advance', id, ...), ('say', text), ('result', x), ('error', e)."""
    reading, writing = os.pipe()
    environment = os.environ | dict.fromkeys(THREAD_VARIABLES, str(threads)) | {"TUNEWRIGHT_PARENT": str(os.getpid())}
    with tempfile.TemporaryFile() as noise, open(reading, "rb") as messages:
        process = subprocess.Popen(
            [sys.executable, "-m", "tunewright.core.worker", str(writing)],
            stdin=subprocess.PIPE, stdout=noise, stderr=noise, pass_fds=[writing], env=environment, start_new_session=True,
        )  # fmt: skip
        os.close(writing)
        running.add(process)
        try:
            assert process.stdin is not None
            with suppress(BrokenPipeError), process.stdin:
                pickle.dump(sys.path, process.stdin)
                pickle.dump((fn, item), process.stdin)
            outcome = _follow(messages, report)
            code = process.wait()
        finally:
            process.kill()
            process.wait()
            running.discard(process)
        if outcome is None:
            noise.seek(0)
            why = "the system stopped it, usually because memory ran out" if code == -9 else f"exit code {code}"
            raise RunError(
                f"a worker process ended without a result ({why}). Its last words: {noise.read()[-2000:].decode(errors='replace')}"
            )
        kind, value = outcome
        if kind == "error":
            raise value
        return value


def _follow(messages: Any, report: Report) -> tuple[str, Any] | None:
    tasks: dict[int, Task] = {}
    with ExitStack() as stack:
        while True:
            try:
                message = pickle.load(messages)
            except (EOFError, pickle.UnpicklingError):
                return None
            if message[0] in ("result", "error"):
                return message[0], message[1]
            if message[0] == "say":
                report.say(message[1])
            elif message[0] == "task":
                tasks[message[1]] = stack.enter_context(report.task(*message[2:]))
            elif message[1] in tasks:
                tasks[message[1]].advance(*message[2:])
