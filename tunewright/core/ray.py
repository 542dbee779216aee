"""Work on a Ray cluster: `compute: {engine: ray}` in the recipe, `address` for a cluster that runs already.

Each item is one plain Ray task of one core that runs the same function as everywhere else. A task whose worker dies, or whose
machine is lost, runs again (`RETRIES` times), so functions must bear running twice: ours write files whole or not at all. Files
that tasks share must lie on storage that every node mounts at the same path, and Tunewright must be installed on every node.
"""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Callable, Sequence
from typing import Any

from tunewright.core.errors import EnvironmentProblem, RunError
from tunewright.core.executor import THREAD_VARIABLES, Item, Result
from tunewright.core.optional import require
from tunewright.core.progress import Report

RETRIES = 5
OBJECTS = 200_000_000  # bytes for what tasks hand on; ours hand on numbers and write the rest to files


class RayExecutor:
    """Runs functions as Ray tasks. Starts Ray on this machine when first used, unless there is an `address`."""

    def __init__(self, report: Report, address: str | None = None) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        self.report, self.address = report, address
        self._ray: Any = require("ray", "ray")
        self._ours = False

    def map(self, fn: Callable[[Item, Report], Result], items: Sequence[Item], workers: int = 1) -> list[Result]:
        """`[fn(item, report) for item in items]` as tasks, at most `workers` at a time; see `core.executor.Executor`."""
        ray = self._connected()
        task = ray.remote(_run).options(num_cpus=1, max_retries=RETRIES, retry_exceptions=False)
        waiting = list(enumerate(items))[::-1]
        running: dict[Any, int] = {}
        results: dict[int, Result] = {}
        try:
            with self.report.task("on the cluster", len(items)) as progress:
                while waiting or running:
                    while waiting and len(running) < max(1, workers):
                        index, item = waiting.pop()
                        running[task.remote(sys.path, pickle.dumps((fn, item)))] = index
                    done, _ = ray.wait(list(running), num_returns=1)
                    results[running.pop(done[0])] = self._result(done[0])
                    progress.advance()
        finally:
            for reference in running:
                ray.cancel(reference, force=True)
        return [results[index] for index in range(len(items))]

    def slots(self) -> int:
        """Cores of the cluster."""
        return max(1, int(self._connected().cluster_resources().get("CPU", 1)))

    def close(self) -> None:
        """Stop Ray if it was started here."""
        if self._ours:
            self._ray.shutdown()
            self._ours = False

    def _connected(self) -> Any:
        if not self._ray.is_initialized():
            started = {} if self.address else {"include_dashboard": False, "object_store_memory": OBJECTS}
            threads = {"env_vars": dict.fromkeys(THREAD_VARIABLES, "1")}
            try:
                self._ray.init(self.address or "local", log_to_driver=False, logging_level="error", runtime_env=threads, **started)
            except (ConnectionError, RuntimeError, ValueError) as error:
                where = f"compute.address: {self.address}" if self.address else "compute.engine: ray"
                raise EnvironmentProblem(f"{where}: Ray cannot be reached or started ({error}).") from error
            self._ours = True
        return self._ray

    def _result(self, reference: Any) -> Any:
        exceptions = self._ray.exceptions
        try:
            return self._ray.get(reference)
        except exceptions.RayTaskError as error:
            raise (error.cause if isinstance(error.cause, Exception) else error) from error
        except exceptions.RayError as error:
            raise RunError(f"a task on the Ray cluster did not come back, although it was tried {RETRIES + 1} times: {error}") from error


def _run(path: list[str], packed: bytes) -> Any:
    """One task: the function and its item, importable from where the driver imports them."""
    sys.path.extend(one for one in path if one not in sys.path)
    fn, item = pickle.loads(packed)
    return fn(item, Report(quiet=True))
