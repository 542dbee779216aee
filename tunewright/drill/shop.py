"""The server, in a process of its own as in real life, and its customers, who ask by HTTP and say later what was right."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from tunewright.core.optional import require
from tunewright.drill.timeline import DrillFailed

START_SECONDS = 120


@dataclass(frozen=True)
class Answer:
    """One request: the text's truth, and what came back."""

    id: str
    text: str
    truth: str
    said: str
    version: str
    seconds: float


@dataclass
class Shop:
    """Customers of the endpoint at `url` who ask for `model`. `failed` counts every answer but 200 in the whole drill."""

    url: str
    model: str
    customers: int
    at_once: int
    failed: int = 0
    served: int = 0
    _turn: int = 0
    _client: Any = field(default=None)

    def __post_init__(self) -> None:
        logging.getLogger("httpx").setLevel(logging.WARNING)  # a line for each request would bury the time line
        self._client = require("httpx", "serve").Client(base_url=self.url, timeout=120)

    def ask(self, rows: pl.DataFrame) -> list[Answer]:
        """Send each row's text once, `at_once` at a time; the answers that came."""
        jobs = []
        for text, truth in rows.select("text", "label").iter_rows():
            self._turn += 1
            jobs.append((text, truth, f"customer-{self._turn % self.customers}"))
        with ThreadPoolExecutor(self.at_once) as pool:
            found = [one for one in pool.map(lambda job: self._one(*job), jobs) if one is not None]
        self.served += len(found)
        self.failed += len(jobs) - len(found)
        return found

    def _one(self, text: str, truth: str, customer: str) -> Answer | None:
        start = time.monotonic()
        response = self._client.post("/v1/classify", json={"model": self.model, "input": text, "user": customer})
        if response.status_code != 200:
            return None
        body = response.json()
        first = body["data"][0]
        return Answer(first["id"], text, truth, first["answer"], body["version"], time.monotonic() - start)

    def wait_for(self, version: str) -> bool:
        """Wait until the server has `version` in memory; False when it takes too long."""
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            if version in self._client.get("/ready").json()["loaded"]:
                return True
            time.sleep(0.1)
        return False

    def say(self, answers: list[Answer], sampled: str = "uniform") -> int:
        """Send the truth of each answer as feedback; how many were taken."""

        def one(answer: Answer) -> bool:
            body = {"request_id": answer.id, "label": answer.truth, "sampled": sampled, "by": "customer"}
            return bool(self._client.post("/v1/feedback", json=body).status_code == 202)

        with ThreadPoolExecutor(self.at_once) as pool:
            return sum(pool.map(one, answers))

    def close(self) -> None:
        self._client.close()


@contextmanager
def server(folder: Path, model: str, registry: Path) -> Iterator[tuple[str, int]]:
    """`tunewright serve MODEL` in `folder` on a free port of loopback until the block ends; (url, process id)."""
    command = [sys.executable, "-m", "tunewright.cli", "serve", model, "--registry", str(registry), "--port", "0", "--json"]
    with open(folder / "server.log", "w") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, cwd=folder, env=os.environ.copy())
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if not line.startswith("{") or "url" not in line:
            tail = (folder / "server.log").read_text()[-500:]
            raise DrillFailed(f"drill: the server does not start: {line}{tail}")
        yield json.loads(line)["url"], process.pid
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()


def right(answers: list[Answer]) -> float:
    """Share of right answers."""
    return sum(one.said == one.truth for one in answers) / max(1, len(answers))
