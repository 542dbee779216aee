"""A soak: a real server under mixed load for a long time; its memory must stay flat and every request must end as it should.

    python benchmarks/soak.py --minutes 60

Callers ask for chats (whole and streamed), completions and labels, leave in the middle, send rubbish and give feedback, while the
registry flips champion and challenger every few seconds. Each minute one line: requests, requests a second, memory, open files,
threads. Memory is flat when the slope over the second half, by least squares, is below `--most-growth` a hour.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
EXPECTED = {200, 202, 400, 404, 429, 499}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--callers", type=int, default=4)
    parser.add_argument("--pause", type=float, default=0.05, help="seconds between two requests of a caller (0.05)")
    parser.add_argument("--flip", type=float, default=3.0, metavar="S", help="seconds between two promotions; a large number for none (3)")
    parser.add_argument("--engine", choices=("embedded", "words"), default="embedded")
    parser.add_argument("--most-growth", type=float, default=30.0, metavar="MB", help="of memory in an hour (30)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = soak(Path(folder), given.minutes * 60, given.callers, given.pause, given.engine, print_line, flip=given.flip)
    result["flat"] = result["growth_mb_an_hour"] < given.most_growth
    print(json.dumps(result, indent=2))
    return 0 if result["flat"] and not result["unexpected"] and result["stored"] == result["expected_stored"] else 1


def print_line(sample: dict[str, Any]) -> None:
    print(json.dumps(sample), file=sys.stderr, flush=True)


def soak(
    folder: Path,
    seconds: float,
    callers: int,
    pause: float,
    engine: str,
    tell: Callable[[dict[str, Any]], None],
    every: float = 60.0,
    flip: float = 3.0,
) -> dict[str, Any]:
    """Load a server for `seconds`; memory is looked at twenty times in each half."""
    from tests.serve.house import exchanges, running

    registry = two_versions(folder, engine)
    settings = ["--set", "serve.max_tokens=32"]
    if engine == "embedded":  # whose prefix cache would fill for hours, which is no leak and would hide one
        settings += ["--set", "serve.engine={name: embedded, prefix_gb: 0.002}"]
    with running(folder, "reviews", *settings) as server:
        process = psutil.Process(server.process.pid)
        load = _Load(server.url, callers, pause, registry, flip)
        began, samples, told = time.monotonic(), list[tuple[float, float]](), 0.0
        while (now := time.monotonic() - began) < seconds:
            time.sleep(min(seconds / 40, 15.0))
            samples.append((now, process.memory_info().rss / 2**20))
            if now - told >= every:
                told = now
                tell({"minute": round(now / 60, 1), **_state(process, load, now)})
        load.stop()
        last = {**_state(process, load, seconds), "threads": process.num_threads(), "open_files": process.num_fds()}
        ended = server.stop()
    rows = exchanges(folder, columns=["id", "status"])
    times, memory = np.array(samples[len(samples) // 2 :]).T
    slope = float(np.polyfit(times, memory, 1)[0]) * 3600 if len(times) > 2 else 0.0
    return {
        "engine": engine,
        "seconds": round(seconds),
        **last,
        "memory_mb_after_a_tenth": round(samples[len(samples) // 10][1], 1),
        "memory_mb_at_half": round(float(memory[0]), 1),
        "growth_mb_an_hour": round(slope, 1),
        "statuses": dict(sorted(load.statuses.items())),
        "versions": dict(sorted(load.versions.items())),
        "flips_of_the_registry": load.flips,
        "unexpected": load.unexpected[:20],
        "stored": len(rows),
        "expected_stored": load.stored,
        "exit_code": ended,
    }


def two_versions(folder: Path, engine: str) -> Any:
    """The model `reviews` with two versions."""
    from tests.serve.house import make_registry

    if engine == "words":
        return make_registry(folder)
    from tests.release.winner import context_of
    from tunewright import release
    from tunewright.registry import Registry
    from tunewright.testing.tiny import tiny_model

    base, registry = tiny_model(folder / "tiny"), Registry(folder / "registry" / "reviews")
    for run, technique in (("one", "lora"), ("two", "prompt_tuning")):
        release.run(context_of(folder / "runs" / run, base, technique))
        registry.register(folder / "runs" / run / "release", reason="soak", by="soak")
    registry.promote(1, reason="soak", by="soak", force=True)
    return registry


def _state(process: psutil.Process, load: _Load, seconds: float) -> dict[str, Any]:
    total = sum(load.statuses.values())
    memory = round(process.memory_info().rss / 2**20, 1)
    return {"requests": total, "requests_per_second": round(total / max(seconds, 1), 1), "memory_mb": memory}


class _Load:
    """Callers of every kind, and somebody who flips the registry."""

    def __init__(self, url: str, callers: int, pause: float, registry: Any, flip: float) -> None:
        self.flip = flip
        self.url, self.pause, self.registry = url, pause, registry
        self.statuses, self.versions = Counter[int](), Counter[str]()
        self.unexpected, self.flips, self.stored = list[str](), 0, 0
        self._end, self._lock = threading.Event(), threading.Lock()
        self._pool = ThreadPoolExecutor(callers + 1)
        self._work = [self._pool.submit(self._ask, number) for number in range(callers)] + [self._pool.submit(self._flip)]

    def stop(self) -> None:
        self._end.set()
        for one in self._work:
            one.result(60)
        self._pool.shutdown()

    def _flip(self) -> None:
        while not self._end.wait(self.flip):
            wanted = 2 if self.registry.state().champion == 1 else 1
            self.registry.promote(wanted, reason="soak", by="soak", force=True)
            self.flips += 1

    def _ask(self, number: int) -> None:
        dice = random.Random(number)
        with httpx.Client(base_url=self.url, timeout=60) as client:
            while not self._end.wait(self.pause):
                kind = dice.choice((self._chat, self._stream, self._complete, self._classify, self._leave, self._rubbish))
                try:
                    kind(client, dice)
                except httpx.HTTPError as error:
                    with self._lock:
                        self.unexpected.append(f"{kind.__name__}: {error!r}")

    def _count(self, response: httpx.Response, rows: int = 1) -> None:
        with self._lock:
            self.statuses[response.status_code] += 1
            self.stored += rows
            self.versions[response.headers.get("x-tunewright-version", "")] += 1
            if response.status_code not in EXPECTED:
                self.unexpected.append(f"{response.status_code}: {response.text[:200]}")

    def _body(self, dice: random.Random, **more: Any) -> dict[str, Any]:
        said = " ".join(dice.choices(["the", "battery", "broke", "love", "screen", "is", "bright"], k=dice.randint(1, 40)))
        return {"model": "reviews", "messages": [{"role": "user", "content": said}], "max_tokens": dice.randint(1, 16), **more}

    def _chat(self, client: httpx.Client, dice: random.Random) -> None:
        response = client.post("/v1/chat/completions", json=self._body(dice, n=dice.choice((1, 1, 2))))
        self._count(response, len(response.json().get("choices", "1")))
        if response.status_code == 200:
            told = client.post("/v1/feedback", json={"request_id": response.json()["id"], "thumb": dice.choice(("up", "down"))})
            self._count(told, 0)

    def _stream(self, client: httpx.Client, dice: random.Random) -> None:
        response = client.post("/v1/chat/completions", json=self._body(dice, stream=True))
        self._count(response)
        if response.status_code == 200 and not response.text.endswith("[DONE]\n\n"):
            self.unexpected.append(f"a stream ended early: {response.text[-200:]}")

    def _complete(self, client: httpx.Client, dice: random.Random) -> None:
        body = {"model": "reviews", "prompt": [dice.randrange(300) for _ in range(20)], "echo": True, "logprobs": 1, "max_tokens": 1}
        self._count(client.post("/v1/completions", json=body))

    def _classify(self, client: httpx.Client, dice: random.Random) -> None:
        texts = [str(self._body(dice)["messages"]) for _ in range(dice.randint(1, 4))]
        self._count(client.post("/v1/classify", json={"model": "reviews", "input": texts}), len(texts))

    def _leave(self, client: httpx.Client, dice: random.Random) -> None:
        """Read one piece, then hang up."""
        with client.stream("POST", "/v1/chat/completions", json=self._body(dice, stream=True, max_tokens=32)) as response:
            next(response.iter_raw(1), b"")
            with self._lock:
                self.statuses[499 if response.status_code == 200 else response.status_code] += 1
                self.stored += 1

    def _rubbish(self, client: httpx.Client, dice: random.Random) -> None:
        raw = dice.randbytes(dice.randint(0, 2000))
        self._count(client.post("/v1/chat/completions", content=raw, headers={"content-type": "application/json"}))


if __name__ == "__main__":
    sys.exit(main())
