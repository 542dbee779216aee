"""Throws generated requests at a real server and looks for answers that are its own fault: schemathesis over the OpenAPI description.

    python benchmarks/fuzz_server.py 10000                    the embedded engine with a tiny random classifier
    python benchmarks/fuzz_server.py 10000 --engine words     an engine without a model: the endpoint alone

Cases follow the description and break it (wrong types, missing and unknown keys, odd strings, wrong methods). Most of them name a
model that is there, or all would end at 404. Exit code 1 if any answer was a 5xx other than 503 and 504, broke the description,
or if the server does not answer an honest request afterwards.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

HOOKS = """
import schemathesis

@schemathesis.hook
def map_body(context, body):
    if isinstance(body, dict) and "model" in body:
        mark = len(str(body))
        body = {**body, **({"model": ["reviews", "reviews@champion", "reviews@0", "BASE"][mark % 4]} if mark % 5 else {})}
        if mark % 4:  # else rules between keys end most cases before they reach the engine
            for key in ("max_tokens", "max_completion_tokens"):
                if isinstance(body.get(key), int):
                    body[key] = 3
            if isinstance(body.get("n"), int):
                body["n"] = body["n"] % 3 + 1
            if body.get("stream_options") is not None:
                body["stream"] = True
            if body.get("top_logprobs") is not None:
                body["logprobs"] = True
    return body
"""
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
GENERATING = 6  # operations with a body or a parameter: the others have a handful of cases
ALLOWED = {"503", "504"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", type=int, nargs="?", default=10_000)
    parser.add_argument("--engine", choices=("embedded", "words"), default="embedded")
    parser.add_argument("--seed", type=int, default=17)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = fuzz(Path(folder), given.cases, given.engine, given.seed)
    print(json.dumps(result, indent=2))
    return 0 if result["fine"] else 1


def fuzz(folder: Path, cases: int, engine: str, seed: int) -> dict[str, Any]:
    """Start a server, run schemathesis until it has answered `cases` requests, and count by path and status."""
    from tests.serve.house import running

    target, base = release_of(folder, engine)
    (folder / "fuzz_hooks.py").write_text(HOOKS.replace("BASE", base))
    began, broken, runs = time.monotonic(), [], 0
    limits = ("--set", "serve.max_tokens=16", "--set", "serve.timeout_seconds=20")
    with running(folder, target, *limits) as server:
        while sum(counts(server.url).values()) < cases and not broken:
            left = cases - sum(counts(server.url).values())
            broken = attack(folder, server.url, max(20, min(1000, left // GENERATING)), seed + runs, ("all", "positive")[runs % 2])
            runs += 1
        found = counts(server.url)
        body = {"model": "reviews", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 4}
        alive = httpx.post(f"{server.url}/v1/chat/completions", json=body, timeout=30).status_code == 200
        log = server.log.read_text()
    faults = {f"{path} {status}": number for (path, status), number in found.items() if status >= "500" and status not in ALLOWED}
    return {
        "fine": not faults and not broken and alive,
        "requests": sum(found.values()),
        "seconds": round(time.monotonic() - began, 1),
        "engine": engine,
        "by_status": _by(found, 1),
        "by_path": _by(found, 0),
        "server_faults": faults,
        "broken_description": broken,
        "answers_afterwards": alive,
        "tracebacks_in_the_log": log.count("Traceback"),
    }


def release_of(folder: Path, engine: str) -> tuple[Path, str]:
    """(what is served as `reviews`, the name of its base model)."""
    if engine == "words":
        from tests.serve.house import make_release

        return make_release(folder / "reviews"), "tiny-base"
    from tests.release.winner import context_of
    from tunewright import release
    from tunewright.testing.tiny import tiny_model

    release.run(context_of(folder / "runs" / "reviews", tiny_model(folder / "tiny")))
    return folder / "runs" / "reviews", "tiny"


def attack(folder: Path, url: str, examples: int, seed: int, mode: str) -> list[str]:
    """One run of schemathesis; what it found wrong. Mode `positive` keeps to the description, `all` mostly breaks it."""
    command = [
        sys.executable,
        "-m",
        "schemathesis.cli",
        "run",
        f"{url}/openapi.json",
        "--checks",
        CHECKS,
        "--phases",
        "examples,coverage,fuzzing",
    ]
    command += [
        "--max-examples",
        str(examples),
        "--seed",
        str(seed),
        "--workers",
        "2",
        "--continue-on-failure",
        "--no-color",
        "--warnings",
        "off",
    ]
    command += ["--suppress-health-check", "all", "--request-timeout", "60", "--mode", mode]
    environment = os.environ | {
        "SCHEMATHESIS_HOOKS": "fuzz_hooks",
        "PYTHONPATH": str(folder),
        "HYPOTHESIS_STORAGE_DIRECTORY": str(folder / "hypothesis"),
    }
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment)
    if done.returncode == 0:
        return []
    return [line for line in (done.stdout + done.stderr).splitlines() if line.strip()][-60:]


def counts(url: str) -> dict[tuple[str, str], int]:
    """How many requests the server has answered, by path of the API and status; our own looks at /metrics and /openapi.json apart."""
    page = httpx.get(f"{url}/metrics").text
    found = re.findall(r'^tunewright_http_requests_total\{path="([^"]+)",status="(\d+)"\} ([\d.e+]+)$', page, re.MULTILINE)
    return {(path, status): int(float(number)) for path, status, number in found if path != "/metrics"}


def _by(found: dict[tuple[str, str], int], place: int) -> dict[str, int]:
    total: Counter[str] = Counter()
    for key, number in found.items():
        total[key[place]] += number
    return dict(sorted(total.items()))


if __name__ == "__main__":
    sys.exit(main())
