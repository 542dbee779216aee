"""What logging costs: rows a second that the store keeps up with, and what it adds to the time of an answer.

    .venv/bin/python benchmarks/traffic.py                 SQLite, and a PostgreSQL of its own (initdb must be on PATH)

A real event loop answers requests: each takes a few milliseconds of computing in a thread, as a model does. The same load runs
with and without the log, in turns; shown is the difference of the medians and of the 99th percentiles. Prompts hold personal
data in one row of ten and are redacted, as they are by default.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import tempfile
import time
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from tunewright.testing.postgres import postgres_server
from tunewright.traffic.record import Exchange
from tunewright.traffic.store import TrafficStore
from tunewright.traffic.writer import TrafficWriter

PROMPT = "The battery of the phone that I bought in March lasts half a day, and the shop does not answer my letters. "


def exchange(number: int) -> Exchange:
    prompt = PROMPT * (1 + number % 4) + (f"Write to jo{number}@firm.example or call +49 30 901820." if number % 10 == 0 else str(number))
    chances = {"negative": 0.7, "neutral": 0.2, "positive": 0.1}
    return Exchange(
        f"cls-{number}",
        datetime.now(UTC),
        "classify",
        "reviews",
        "reviews@3",
        "5b1e",
        "77aa",
        "champion",
        200,
        prompt,
        "negative",
        "negative",
        chances,
        prompt_tokens=40,
        completion_tokens=1,
        seconds=0.01,
    )


def most(store: TrafficStore, seconds: float) -> dict[str, float]:
    """Rows a second when they come as fast as they can be stored."""
    with store.writer() as writer:
        costs, number, start = [], 0, time.perf_counter()
        while time.perf_counter() - start < seconds:
            if writer.stats()["waiting"] > 5000:
                time.sleep(0.005)
                continue
            one = exchange(number)
            before = time.perf_counter()
            writer.log(one)
            costs.append(time.perf_counter() - before)
            number += 1
        writer.flush(60)
        took, stats = time.perf_counter() - start, writer.stats()
    assert stats["stored"] == number, stats
    return {
        "rows_per_second": number / took,
        "log_p50_us": 1e6 * float(np.median(costs)),
        "log_p99_us": 1e6 * float(np.quantile(costs, 0.99)),
    }


async def _load(writer: TrafficWriter | None, rate: float, seconds: float, start_at: int) -> list[float]:
    """Answers at `rate` a second; the seconds that each took, from when it was due."""
    loop, waits = asyncio.get_running_loop(), []
    matrix = np.random.default_rng(0).normal(size=(160, 160))

    async def answer(number: int, due: float) -> None:
        await loop.run_in_executor(None, lambda: matrix @ matrix)
        if writer is not None:
            writer.log(exchange(number))
        waits.append(loop.time() - due)

    begin, tasks = loop.time(), []
    for number in range(int(rate * seconds)):
        due = begin + number / rate
        if (pause := due - loop.time()) > 0:
            await asyncio.sleep(pause)
        tasks.append(asyncio.create_task(answer(start_at + number, due)))
    await asyncio.gather(*tasks)
    return waits


def added(store: TrafficStore, rate: float, seconds: float, rounds: int) -> dict[str, float]:
    """Milliseconds that logging adds at `rate` requests a second."""
    found: dict[bool, list[float]] = {True: [], False: []}
    with store.writer() as writer:
        for turn in range(rounds):
            for on in (turn % 2 == 0, turn % 2 == 1):
                found[on] += asyncio.run(_load(writer if on else None, rate, seconds, 10_000_000 + turn * 1_000_000))
        writer.flush(60)
        assert writer.stats()["dropped"] == writer.stats()["rejected"] == 0
    quantile = {on: np.quantile(waits, [0.5, 0.99]) * 1000 for on, waits in found.items()}
    names = ("p50", "p99")
    told = {
        f"{name}_ms_{'with' if on else 'without'}": float(quantile[on][place]) for on in (False, True) for place, name in enumerate(names)
    }
    return told | {f"added_{name}_ms": float(quantile[True][place] - quantile[False][place]) for place, name in enumerate(names)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--rate", type=float, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    results: dict[str, Any] = {"load": os.getloadavg()[0], "cores": os.cpu_count()}
    for kind in ("sqlite", "postgresql"):
        with postgres_server() if kind == "postgresql" else nullcontext() as server, tempfile.TemporaryDirectory() as folder:
            with TrafficStore.open(server.url if server else "sqlite:///traffic.db", Path(folder)) as store:
                results[kind] = most(store, given.seconds) | added(store, given.rate, given.seconds, given.rounds)
        print(kind, json.dumps({name: round(value, 2) for name, value in results[kind].items()}), flush=True)
    path = Path(__file__).with_name("results") / "traffic.json"
    path.write_text(json.dumps(results, indent=2) + "\n")
    print(f"load {results['load']:.1f} on {results['cores']} cores; written to {path}")


if __name__ == "__main__":
    main()
