"""Versions in memory, places in the queue, and numbers at /metrics."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.serve.house import make_release
from tests.serve.words import Words
from tunewright.core.progress import Report
from tunewright.serve.errors import ApiError
from tunewright.serve.fleet import SPARES, Fleet
from tunewright.serve.limits import Gate
from tunewright.serve.releases import Release, read_release

Test = Callable[[Fleet, Callable[[str], Callable[[], Release]]], Coroutine[Any, Any, None]]


def with_fleet(folder: Path, test: Test, **engine: Any) -> Words:
    """Run `test` on a fleet over releases in `folder`."""
    words = Words(**engine)

    def read(name: str) -> Callable[[], Release]:
        return lambda: read_release(name, make_release(folder / name.replace("@", "-"), name))

    async def run() -> None:
        await words.start(Report(quiet=True))
        fleet = Fleet(words)
        await test(fleet, read)
        await fleet.close()

    asyncio.run(run())
    return words


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0.005)


def test_a_version_is_unloaded_when_its_last_user_has_left(tmp_path: Path):
    async def test(fleet: Fleet, read: Any) -> None:
        await fleet.load("m@1", read("m@1"))
        fleet.pin(["m@1"])
        lease = fleet.lease("m@1")
        assert lease is not None
        await fleet.load("m@2", read("m@2"))
        fleet.pin(["m@2"])
        await settle()
        assert set(fleet.loaded) == {"m@1", "m@2"}, "somebody still uses it"
        lease.close()
        lease.close()
        await settle()
        assert set(fleet.loaded) == {"m@2"}

    assert with_fleet(tmp_path, test)._unloaded == ["m@1"]


def test_a_version_that_is_pinned_again_in_time_stays(tmp_path: Path):
    async def test(fleet: Fleet, read: Any) -> None:
        await fleet.load("m@1", read("m@1"))
        fleet.pin(["m@1"])
        lease = fleet.lease("m@1")
        assert lease is not None
        fleet.pin([])
        fleet.pin(["m@1"])
        lease.close()
        await settle()
        assert set(fleet.loaded) == {"m@1"}

    assert with_fleet(tmp_path, test)._unloaded == []


def test_many_who_want_a_version_at_once_load_it_once(tmp_path: Path):
    reads = []

    async def test(fleet: Fleet, read: Any) -> None:
        def counted() -> Release:
            reads.append(1)
            release: Release = read("m@1")()
            return release

        leases = await asyncio.gather(*(fleet.borrow("m@1", counted) for _ in range(20)))
        assert {one.release.name for one in leases} == {"m@1"}

    with_fleet(tmp_path, test, load_seconds=0.02)
    assert len(reads) == 1


def test_spares_are_few_and_the_one_used_least_recently_goes(tmp_path: Path):
    async def test(fleet: Fleet, read: Any) -> None:
        await fleet.load("m@9", read("m@9"))
        fleet.pin(["m@9"])
        for name in ("m@1", "m@2", "m@1", "m@3"):
            (await fleet.borrow(name, read(name))).close()
            await settle()
        assert set(fleet.loaded) == {"m@9", "m@1", "m@3"}

    assert SPARES == 2
    assert with_fleet(tmp_path, test)._unloaded == ["m@2"]


def test_a_version_that_cannot_be_loaded_leaves_nothing_behind(tmp_path: Path):
    async def test(fleet: Fleet, read: Any) -> None:
        (make_release(tmp_path / "m-1", "m@1") / "broken").write_text("")
        with pytest.raises(Exception, match="broken"):
            await fleet.borrow("m@1", read("m@1"))
        assert fleet.loaded == {}
        assert fleet.lease("m@1") is None
        (tmp_path / "m-1" / "broken").unlink()
        (await fleet.borrow("m@1", read("m@1"))).close()
        assert set(fleet.loaded) == {"m@1"}

    with_fleet(tmp_path, test)


def test_places_in_the_queue_come_back_however_an_answer_ends():
    gate = Gate(3)
    first, second = gate.enter(), gate.enter(2)
    with pytest.raises(ApiError) as error:
        gate.enter()
    assert error.value.status == 429
    first[0].started()
    assert (gate.waiting, gate.running, gate.full) == (2, 1, False)
    for ticket in (*first, *second, *first):
        ticket.close()
        ticket.started()
    assert (gate.waiting, gate.running) == (0, 0)


def test_an_empty_queue_takes_a_request_of_any_size_and_a_full_one_none():
    gate = Gate(2)
    tickets = gate.enter(10)
    assert gate.full
    with pytest.raises(ApiError):
        gate.enter()
    for ticket in tickets:
        ticket.started()
    assert not gate.full
    gate.enter(2)


def test_retry_after_grows_with_what_waits_and_what_answers_took():
    def retry(seconds: float, waiting: int) -> int:
        gate = Gate(waiting)
        for _ in range(5):
            gate.took(seconds)
        gate.enter(waiting)
        with pytest.raises(ApiError) as error:
            gate.enter()
        return int(error.value.headers["retry-after"])

    assert retry(0.01, 1) == 1
    assert retry(2.0, 4) == 8
    assert retry(100.0, 100) == 60


def value(page: str, name: str, **labels: str) -> float:
    """The value of one series."""
    for found in re.finditer(rf"^tunewright_{name}\{{([^}}]*)\}} (\S+)$", page, re.MULTILINE):
        if set(re.findall(r'(\w+)="([^"]*)"', found[1])) == set(labels.items()):
            return float(found[2])
    raise AssertionError(f"no series {name} {labels}")


def test_metrics_count_what_happened(client: TestClient):
    chat = {"model": "reviews", "messages": [{"role": "user", "content": "say a b c"}]}
    client.post("/v1/chat/completions", json=chat)
    client.post("/v1/chat/completions", json={**chat, "stream": True})
    client.post("/v1/chat/completions", json={**chat, "max_tokens": 1})
    client.post("/v1/chat/completions", json={**chat, "messages": [{"role": "user", "content": "boom"}]})
    client.post("/v1/classify", json={"model": "reviews", "input": ["I love it", "it broke"]})
    client.post("/v1/feedback", json={"request_id": "cls-" + "0" * 24, "thumb": "up"})
    page, who = client.get("/metrics").text, {"model": "reviews", "version": "reviews@0", "side": "champion"}
    assert value(page, "request_success_total", **who, finished_reason="stop") == 4
    assert value(page, "request_success_total", **who, finished_reason="length") == 1
    assert value(page, "request_failure_total", **who, status="500") == 1
    assert value(page, "prompt_tokens_total", **who) == 3 * 4 + 5
    assert value(page, "prompt_tokens_cached_total", **who) == 3 + 3
    assert value(page, "generation_tokens_total", **who) == 3 + 3 + 1
    assert value(page, "time_to_first_token_seconds_count", **who) == 3
    assert value(page, "e2e_request_latency_seconds_count", **who) == 4
    assert value(page, "time_per_output_token_seconds_count", **who) == 2
    assert value(page, "feedback_total", kind="thumb") == 1
    assert value(page, "version_loaded", model="reviews", version="reviews@0") == 1
    assert value(page, "http_requests_total", path="/v1/chat/completions", status="200") == 3
    assert "tunewright_kv_cache_usage_perc 0.25" in page
    assert "tunewright_traffic_lost 0.0" in page
