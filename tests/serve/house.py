"""Releases, registries and real servers on loopback for the tests of the endpoint."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tunewright.core.files import sha256_file, write_json
from tunewright.registry import Registry
from tunewright.serve.service import Setup

ROOT = Path(__file__).parents[2]
LABELS = ["negative", "neutral", "positive"]
ENGINE = "tests.serve.words.Words"


def make_release(
    directory: Path, mark: str = "a", *, approved: bool = True, serve: dict[str, Any] | None = None, engine: Any = ENGINE
) -> Path:
    """A release without weights that could be used: the engine of these tests needs none."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "adapter_model.safetensors").write_bytes(b"weights " + mark.encode())
    base = directory.parent / "tiny-base"
    write_json(base / "config.json", {"model_type": "llama"})
    write_json(directory / "calibration.json", {"temperature": 2.0, "prior": None, "labels": LABELS})
    write_json(directory / "recipe.json", {"data": {"path": "rows.csv"}, "serve": {"engine": engine, **(serve or {})}})
    write_json(directory / "parity.json", {"rows": 4, "same_answers": 4, "largest_difference": 0.0, "tolerance": 0.002})
    files = [{"path": one.name, "bytes": one.stat().st_size, "sha256": sha256_file(one)} for one in sorted(directory.iterdir())]
    manifest = {
        "status": "APPROVED: SHIP." if approved else "NOT APPROVED: DON'T SHIP.",
        "approved": approved,
        "verdict": "SHIP" if approved else "DON'T SHIP",
        "kind": "adapter",
        "technique": "lora",
        "base_model": {"name": "tiny-base", "path": str(base), "fingerprint": "base0000"},
        "prompt": {"answers": {label: [index] for index, label in enumerate(LABELS)}},
        "fingerprint": f"weights-{mark}",
        "created": "2026-11-27T10:00:00+00:00",
        "files": [one for one in files if one["path"] != "manifest.json"],
    }
    write_json(directory / "manifest.json", manifest)
    return directory


def make_registry(folder: Path, versions: int = 2, **settings: Any) -> Registry:
    """The model `reviews` with so many versions, the first of them champion."""
    registry = Registry(folder / "registry" / "reviews")
    for number in range(1, versions + 1):
        registry.register(make_release(folder / f"packed-{number}", str(number), **settings), reason="test", by="test")
    registry.promote(1, reason="test", by="test")
    return registry


def setup_of(folder: Path, target: Path | str, *overrides: str, **more: Any) -> Setup:
    """A setup for an app inside the test's own process, open to all."""
    return Setup(str(target), overrides=tuple(overrides), base_dir=folder, quiet=True, **{"needs_key": False, **more})


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Running:
    """A server in a process of its own."""

    url: str
    process: subprocess.Popen[str]
    log: Path
    said: dict[str, Any]

    def stop(self, by: int = signal.SIGTERM, seconds: float = 20) -> int:
        if self.process.poll() is None:
            self.process.send_signal(by)
        return self.process.wait(seconds)


@contextmanager
def running(
    folder: Path, target: Path | str, *arguments: str, environment: dict[str, str] | None = None, seconds: float = 60
) -> Iterator[Running]:
    """`tunewright serve TARGET` until the block ends."""
    log = folder / "server.log"
    command = [sys.executable, "-m", "tunewright.cli", "serve", str(target), "--port", "0", "--json", *arguments]
    where = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "TUNEWRIGHT_REGISTRY": str(folder / "registry")}
    with open(log, "w") as stream:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=stream, text=True, cwd=folder, env=os.environ | where | (environment or {})
        )
    server = None
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line.startswith("{") or "url" not in (said := json.loads(line)):
            process.wait(seconds)
            raise AssertionError(f"the server did not start: {line}{log.read_text()}")
        server = Running(said["url"], process, log, said)
        yield server
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(5)
        if process.stdout is not None:
            process.stdout.close()


def wait_for(what: Any, seconds: float = 10.0, every: float = 0.05) -> Any:
    """Call `what` until it gives something true."""
    end = time.monotonic() + seconds
    while True:
        found = what()
        if found or time.monotonic() > end:
            assert found, "it did not happen in time"
            return found
        time.sleep(every)


def chat(url: str, text: str, model: str = "reviews", headers: dict[str, str] | None = None, **more: Any) -> httpx.Response:
    body = {"model": model, "messages": [{"role": "user", "content": text}], "temperature": 0, **more}
    return httpx.post(f"{url}/v1/chat/completions", json=body, headers=headers, timeout=30)


def exchanges(folder: Path, **chosen: Any) -> Sequence[dict[str, Any]]:
    """What the traffic store of a stopped or running server holds."""
    from tunewright.traffic.store import TrafficStore

    with TrafficStore.open("sqlite:///traffic.db", folder) as store:
        return store.exchanges(**chosen).to_dicts()
