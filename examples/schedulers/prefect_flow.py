"""The closed loop on Prefect: look at the traffic, and retrain when a trigger holds. Prefect only decides when; Tunewright does the work.

    pip install prefect                                    # Tunewright on PATH, or TUNEWRIGHT=/opt/tunewright/bin/tunewright
    python examples/schedulers/prefect_flow.py             # one pass, now
    python examples/schedulers/prefect_flow.py --serve     # every hour

Running it twice does no harm: the commands take a lock, go on where they stopped, and do nothing when nothing is due. So a
crash (killed, out of memory, machine lost) is retried, and an answer is not: exit code 0 is fine, 1 means an alert or DON'T
SHIP, 2 bad input (a person must act: the run fails at once), 3 too little evidence yet.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from prefect import Task, flow, get_run_logger, task
from prefect.client.schemas import TaskRun
from prefect.states import State

MODEL = os.environ.get("TUNEWRIGHT_MODEL", "reviews")
TUNEWRIGHT = os.environ.get("TUNEWRIGHT", "tunewright")
ANSWERS = {0: "fine", 1: "an alert is open, or DON'T SHIP", 3: "too little evidence yet"}


class BadInput(Exception):
    """Trying again would not help."""


def worth_another_try(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Whether the command ended without an answer."""
    try:
        state.result()
    except BadInput:
        return False
    except Exception:
        return True
    return False


@task(retries=3, retry_delay_seconds=[10, 60, 300], retry_condition_fn=worth_another_try)
def tunewright(*arguments: str) -> dict[str, Any]:
    """One command: what its exit code means, and its JSON document."""
    done = subprocess.run([TUNEWRIGHT, *arguments, "--json"], capture_output=True, text=True, check=False)
    get_run_logger().info(done.stderr)
    if done.returncode == 2:
        raise BadInput(f"{' '.join(arguments)}: {done.stderr.strip().splitlines()[-1]}")
    if done.returncode not in ANSWERS:
        raise RuntimeError(f"{' '.join(arguments)} ended with {done.returncode}")
    return {"exit_code": done.returncode, "means": ANSWERS[done.returncode], "result": json.loads(done.stdout)}


@flow(name="tunewright-loop")
def loop(model: str = MODEL) -> dict[str, Any]:
    """Look, then retrain if a trigger holds."""
    watched = tunewright("monitor", model)
    retrained = tunewright("retrain", model)
    return {"monitor": watched, "retrain": retrained}


if __name__ == "__main__":
    if "--serve" in sys.argv:
        loop.serve(name="hourly", cron="17 * * * *", limit=1)
    else:
        print(json.dumps(loop(), indent=2))
