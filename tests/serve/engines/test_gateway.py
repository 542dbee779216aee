"""What a real server adds to an upstream: nothing that waits."""

from __future__ import annotations

import time
from pathlib import Path

import httpx
import pytest

from tests.serve.engines.test_upstream import Naughty, served
from tests.serve.house import running
from tunewright.testing.tiny import tiny_model


@pytest.mark.slow
def test_small_answers_do_not_wait_for_the_clients_acknowledgement(tmp_path: Path):
    """Headers and body are two packets: with Nagle's algorithm the second waits 40 ms. The quickest of many is looked at, for machines are busy."""
    base = tiny_model(tmp_path / "good")
    with served(Naughty().app) as url:
        setting = f"serve.engine={{name: upstream, url: '{url}'}}"
        with running(tmp_path, base, "--set", setting) as server, httpx.Client(base_url=server.url, trust_env=False, timeout=30) as http:
            body = {"model": "good", "messages": [{"role": "user", "content": "Hello"}]}
            assert quickest(lambda: http.get("/health").raise_for_status()) < 0.03
            assert quickest(lambda: http.post("/v1/chat/completions", json=body).raise_for_status()) < 0.035


def quickest(call) -> float:
    seconds = []
    for _ in range(40):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return min(seconds)
