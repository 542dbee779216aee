"""How fast the endpoint answers, beside a naive server and `transformers serve`, and what the gateway adds to an upstream.

    python benchmarks/serving.py --rounds 3 --out benchmarks/results/serving.json

The bundled 135M model, in float32 on the processor, behind real servers on loopback that run one after another in alternating
rounds, each alone on the machine: ours (`tunewright serve` with the embedded engine, traffic logged as by default), ours with int8
weights, `naive` (FastAPI and `model.generate` for each request behind a lock), `transformers serve` as it is, and with its
continuous batching. C clients ask for streamed greedy answers of `TOKENS` tokens, each another prompt, until a round's time is over;
tokens are counted by the servers' own usage or, where a server tells none, by its pieces. Ratios are of the same round.

The gateway: the same requests to a stub that answers at once, directly and through `tunewright serve` with the upstream engine, in turn.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
TOKENS = 48
SYSTEM = "You are a helpful assistant that answers in plain English, politely and to the point."
TOPICS = [
    "a river",
    "old maps",
    "bread",
    "the moon",
    "bees",
    "glass",
    "trains",
    "salt",
    "paper",
    "winter",
    "a violin",
    "copper",
    "tea",
    "rain",
]


@dataclass
class Took:
    """One answer: seconds to its first piece and to its end, and its tokens."""

    first: float
    total: float
    tokens: int


@dataclass
class Load:
    """What one server did in one round with so many clients."""

    seconds: float = 0.0
    answers: list[Took] = field(default_factory=list)

    def told(self) -> dict[str, Any]:
        firsts, totals = sorted(one.first for one in self.answers), sorted(one.total for one in self.answers)
        return {
            "answers": len(self.answers),
            "tokens_per_second": round(sum(one.tokens for one in self.answers) / self.seconds, 1),
            "first_p50": round(_quantile(firsts, 0.5), 3),
            "first_p95": round(_quantile(firsts, 0.95), 3),
            "total_p50": round(_quantile(totals, 0.5), 3),
            "total_p95": round(_quantile(totals, 0.95), 3),
        }


def _quantile(values: list[float], share: float) -> float:
    return values[min(len(values) - 1, int(share * len(values)))]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=15, help="of each server at each number of clients in a round (15)")
    parser.add_argument("--clients", default="1,8,32")
    parser.add_argument("--arms", default=",".join(ARMS))
    parser.add_argument("--gateway", type=int, default=300, help="requests a side for the gateway's overhead; 0 leaves it out (300)")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    clients = [int(one) for one in given.clients.split(",")]
    with tempfile.TemporaryDirectory() as folder:
        result: dict[str, Any] = {"machine": machine(), "tokens_an_answer": TOKENS, "rounds": []}
        if given.gateway:
            result["gateway"] = gateway(Path(folder), given.gateway)
            print(json.dumps(result["gateway"]), file=sys.stderr, flush=True)
        for _ in range(given.rounds):
            result["rounds"].append(one_round(Path(folder), given.arms.split(","), clients, given.seconds))
    result |= summary(result["rounds"], clients)
    text = json.dumps(result, indent=2)
    print(text)
    if given.out:
        given.out.write_text(text + "\n")
    return 0


def machine() -> dict[str, Any]:
    import torch
    import transformers

    model = next((line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line), "")
    versions = {"torch": torch.__version__, "transformers": transformers.__version__, "python": platform.python_version()}
    return {"cores": os.cpu_count(), "processor": model, "load_before": [round(one, 2) for one in os.getloadavg()], **versions}


def base_directory() -> Path:
    from tunewright.models.load import model_directory

    return model_directory("smollm2-135m")


def ours(folder: Path, *settings: str) -> list[str]:
    command = [sys.executable, "-m", "tunewright.cli", "serve", str(base_directory()), "--port", "0", "--json"]
    limits = ["serve.queue=256", "serve.requests_per_minute=null"]
    return command + [part for one in (*limits, *settings) for part in ("--set", one)]


def theirs(folder: Path, *flags: str) -> list[str]:
    tool = str(Path(sys.executable).with_name("transformers"))
    return [tool, "serve", str(base_directory()), "--host", "127.0.0.1", "--device", "cpu", "--dtype", "float32", *flags, "--port"]


ARMS = {
    "ours": lambda folder: ours(folder),
    "ours_int8": lambda folder: ours(folder, "serve.engine={name: embedded, quantise: int8}"),
    "naive": lambda folder: [sys.executable, str(Path(__file__).with_name("serving_naive.py")), str(base_directory())],
    "transformers_serve": lambda folder: theirs(folder),
    "transformers_serve_continuous": lambda folder: theirs(folder, "--continuous-batching"),
}


@contextmanager
def server(command: list[str], folder: Path) -> Iterator[str]:
    """The server's URL until the block ends. Ours tells its port; the others are told one."""
    tells = "--json" in command
    port = 0 if tells else free_port()
    environment = os.environ | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    log = folder / "server.log"
    with open(log, "w") as stream:
        whole = command if tells else [*command, str(port)]
        process = subprocess.Popen(
            whole, stdout=subprocess.PIPE if tells else stream, stderr=stream, text=True, cwd=folder, env=environment
        )
    try:
        url = json.loads(process.stdout.readline())["url"] if tells and process.stdout else f"http://127.0.0.1:{port}"
        wait_until_ready(url, process, log)
        yield url
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_ready(url: str, process: subprocess.Popen[str], log: Path, seconds: float = 180) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if process.poll() is not None:
            break
        try:
            if httpx.get(f"{url}/health", timeout=5).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.2)
    raise SystemExit(f"a server did not start: {log.read_text()[-2000:]}")


def one_round(folder: Path, arms: list[str], clients: list[int], seconds: float) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for arm in arms:
        with server(ARMS[arm](folder), folder) as url:
            model = httpx.get(f"{url}/v1/models", timeout=30).json()["data"][0]["id"] if arm.startswith("ours") else str(base_directory())
            found[arm] = {}
            asyncio.run(drive(url, model, 2, 3.0))  # everything is loaded and warm
            for number in clients:
                before, load = os.getloadavg()[0], asyncio.run(drive(url, model, number, seconds))
                found[arm][str(number)] = {**load.told(), "load_average_before": round(before, 2)}
                print(arm, number, json.dumps(found[arm][str(number)]), file=sys.stderr, flush=True)
    return found


async def drive(url: str, model: str, clients: int, seconds: float) -> Load:
    """So many clients, each asking again as soon as it has its answer, until the time is over; answers begun by then are waited for."""
    load, began = Load(), time.monotonic()
    limits = httpx.Limits(max_connections=clients + 2)
    async with httpx.AsyncClient(timeout=600, limits=limits, trust_env=False) as http:

        async def client(number: int) -> None:
            turn = 0
            while time.monotonic() - began < seconds:
                load.answers.append(
                    await ask(http, url, model, f"Tell me about {TOPICS[(number + turn) % len(TOPICS)]}, part {number}-{turn}.")
                )
                turn += 1

        await asyncio.gather(*(client(number) for number in range(clients)))
    load.seconds = time.monotonic() - began
    return load


async def ask(http: httpx.AsyncClient, url: str, model: str, question: str) -> Took:
    body = {"model": model, "stream": True, "stream_options": {"include_usage": True}, "max_tokens": TOKENS, "temperature": 0}
    body["messages"] = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": question}]
    start, first, pieces, told = time.perf_counter(), None, 0, None
    async with http.stream("POST", f"{url}/v1/chat/completions", json=body) as response:
        if response.status_code != 200:
            raise SystemExit(f"{url}: {response.status_code} {(await response.aread())[:500]!r}")
        async for line in response.aiter_lines():
            if not line.startswith("data: {"):
                continue
            event = json.loads(line[6:])
            if event.get("usage"):
                told = event["usage"].get("completion_tokens")
            if event.get("choices") and (event["choices"][0].get("delta") or {}).get("content"):
                first = first or time.perf_counter()
                pieces += 1
    end = time.perf_counter()
    return Took((first or end) - start, end - start, told or pieces)


def gateway(folder: Path, requests: int) -> dict[str, Any]:
    """Milliseconds of a request to a stub, directly and through our server with the upstream engine, one after the other in turn."""
    stub = [sys.executable, str(Path(__file__).with_name("serving_stub.py"))]
    with server(stub, folder) as far:
        beside = folder / "gateway"
        beside.mkdir(exist_ok=True)
        with server(ours(folder, f"serve.engine={{name: upstream, url: '{far}/v1'}}"), beside) as near:
            name = httpx.get(f"{near}/v1/models", timeout=30).json()["data"][0]["id"]
            return {side: compare(far, near, name, requests, side == "streamed") for side in ("whole", "streamed")}


def compare(far: str, near: str, model: str, requests: int, stream: bool) -> dict[str, Any]:
    body: dict[str, Any] = {"model": model, "max_tokens": 16, "stream": stream, "messages": [{"role": "user", "content": "Hello there"}]}
    times: dict[str, list[float]] = {far: [], near: []}
    with httpx.Client(timeout=30, trust_env=False) as http:
        for turn in range(requests + 20):
            for url in (far, near):
                start = time.perf_counter()
                http.post(f"{url}/v1/chat/completions", json=body).raise_for_status()
                if turn >= 20:
                    times[url].append((time.perf_counter() - start) * 1000)
    direct, through = sorted(times[far]), sorted(times[near])
    added = sorted(one - other for one, other in zip(times[near], times[far], strict=True))
    return {
        "direct_p50_ms": round(_quantile(direct, 0.5), 2),
        "through_p50_ms": round(_quantile(through, 0.5), 2),
        "added_p50_ms": round(_quantile(added, 0.5), 2),
        "added_p95_ms": round(_quantile(added, 0.95), 2),
        "load_average": round(os.getloadavg()[0], 2),
    }


def summary(rounds: list[dict[str, Any]], clients: list[int]) -> dict[str, Any]:
    """Medians over rounds, and our tokens per second over each other's, round by round."""
    arms, medians, ratios = list(rounds[0]), {}, {}
    for number in map(str, clients):
        medians[number] = {arm: _medians([one[arm][number] for one in rounds]) for arm in arms}
        for arm in arms:
            if arm != "ours" and "ours" in arms:
                each = [one["ours"][number]["tokens_per_second"] / one[arm][number]["tokens_per_second"] for one in rounds]
                ratios.setdefault(number, {})[arm] = {"median": round(statistics.median(each), 2), "each": [round(x, 2) for x in each]}
    return {"medians": medians, "ours_over": ratios, "load_after": [round(one, 2) for one in psutil.getloadavg()]}


def _medians(found: list[dict[str, Any]]) -> dict[str, float]:
    return {key: round(statistics.median(one[key] for one in found), 3) for key in found[0]}


if __name__ == "__main__":
    sys.exit(main())
