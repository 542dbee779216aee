"""The closed loop on Airflow: look at the traffic, and retrain when a trigger holds. Airflow only decides when; Tunewright does the work.

    cp examples/schedulers/airflow_dag.py $AIRFLOW_HOME/dags/      # Tunewright on the worker's PATH, or TUNEWRIGHT=/opt/tunewright/bin/tunewright
    airflow dags test tunewright_loop

Running it twice does no harm: the commands take a lock, go on where they stopped, and do nothing when nothing is due. So a
crash (killed, out of memory, machine lost) is retried, and an answer is not: exit code 0 is fine, 1 means an alert or DON'T
SHIP, 2 bad input (a person must act: the task fails at once), 3 too little evidence yet (the task is skipped).
"""

from __future__ import annotations

import json
import os
import subprocess
from datetime import datetime, timedelta
from typing import Any

from airflow.sdk import dag, task
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

MODEL = os.environ.get("TUNEWRIGHT_MODEL", "reviews")
TUNEWRIGHT = os.environ.get("TUNEWRIGHT", "tunewright")


def run(*arguments: str) -> dict[str, Any]:
    """One command and its JSON document; its exit code becomes what Airflow knows."""
    done = subprocess.run([TUNEWRIGHT, *arguments, "--json"], capture_output=True, text=True, check=False)
    print(done.stderr)
    if done.returncode == 2:
        raise AirflowFailException(f"{' '.join(arguments)}: {done.stderr.strip().splitlines()[-1]}")
    if done.returncode == 3:
        raise AirflowSkipException(f"{' '.join(arguments)}: too little evidence yet")
    if done.returncode not in (0, 1):
        raise AirflowException(f"{' '.join(arguments)} ended with {done.returncode}: tried again")
    return {"exit_code": done.returncode, "result": json.loads(done.stdout)}


@dag(
    schedule="17 * * * *",
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 3, "retry_delay": timedelta(minutes=1), "retry_exponential_backoff": True},
    tags=["tunewright"],
)
def tunewright_loop() -> None:
    """Look, then retrain if a trigger holds, also when the monitor had too little traffic to judge."""

    @task(execution_timeout=timedelta(minutes=30))
    def monitor() -> dict[str, Any]:
        return run("monitor", MODEL)

    @task(execution_timeout=timedelta(hours=6), trigger_rule="none_failed")
    def retrain() -> dict[str, Any]:
        return run("retrain", MODEL)

    monitor() >> retrain()


tunewright_loop()
