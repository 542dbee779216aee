"""The release through a real server: the endpoint arm of the gate, and promotion and rollback while clients hammer it."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.serve.house import running
from tunewright.cli import main
from tunewright.core.errors import RunError
from tunewright.core.run import Context
from tunewright.registry import Registry
from tunewright.release import gate
from tunewright.release.gate.endpoint import EndpointArm

pytestmark = pytest.mark.slow
Releases = Callable[..., Context]


def test_a_served_release_is_the_release_and_another_is_not(
    release_of: Releases, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNEWRIGHT_REGISTRY", str(tmp_path / "registry"))
    registry = Registry(tmp_path / "registry" / "reviews")
    for technique in ("lora", "full"):
        registry.register(release_of(technique).run.path("release"), reason="a test", by="ana")
    registry.promote(1, reason="a test", by="ana")
    with running(tmp_path, "reviews") as server:
        given = ["verify", "reviews@1", "parity", "--endpoint", server.url, "--json"]
        assert main(given) == 0
        told = json.loads(capsys.readouterr().out)["results"][0]["measured"]
        assert told["name"] == "endpoint"
        assert told["artefact"] == f"reviews@1 at {server.url}"
        assert told["likelihoods"]["largest"] < 2e-3
        assert told["likelihoods"]["normalised"]
        assert told["tokens"] == {"rows": 4, "left_out": 1, "only_counted": True}
        assert main([*given[:-1], "--model", "reviews@2"]) == 1  # a wrong model behind the name
        assert "FAIL  parity   endpoint (reviews@2 at http" in capsys.readouterr().out
        assert registry.state().versions[1].gates[0]["passed"] is False
        assert main(given) == 0  # the newest result counts
        release = registry.path(1)
        monkeypatch.setattr(EndpointArm, "_classifies", lambda self: False)  # as a server without /v1/classify is asked
        with pytest.raises(gate.ParityError, match="base at http.* it answers like the untuned model"):
            gate.check_endpoint(release, server.url, "base", rows=8)
        told = gate.check_endpoint(release, server.url, "reviews@champion", rows=8)  # by /v1/completions with echo
        assert not told["likelihoods"]["normalised"]
        assert told["likelihoods"]["largest"] < 2e-3
        with pytest.raises(RunError, match="serves no model 'other', but: reviews, reviews@champion"):
            gate.check_endpoint(release, server.url, "other")
    assert [(one["name"], one["passed"]) for one in registry.state().versions[1].gates] == [("parity of endpoint", True)]


def test_promotion_and_rollback_under_load_lose_no_request(
    release_of: Releases, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNEWRIGHT_REGISTRY", str(tmp_path / "registry"))
    registry = Registry(tmp_path / "registry" / "reviews")
    for technique in ("lora", "bottleneck"):
        registry.register(release_of(technique).run.path("release"), reason="a test", by="ana")
    registry.promote(1, reason="a test", by="ana")
    failures: list[str] = []
    seen: list[tuple[float, str]] = []
    stop = threading.Event()
    with running(tmp_path, "reviews", "--set", "serve.requests_per_minute=null") as server:

        def classify() -> None:
            with httpx.Client(base_url=server.url, timeout=30) as client:
                while not stop.is_set():
                    try:
                        answer = client.post("/v1/classify", json={"model": "reviews", "input": "The screen is bright, I love it."})
                    except httpx.HTTPError as error:
                        failures.append(repr(error))
                        continue
                    if answer.status_code != 200:
                        failures.append(answer.text)
                    else:
                        seen.append((time.monotonic(), answer.json()["version"]))

        def chat() -> None:
            body = {"model": "reviews", "messages": [{"role": "user", "content": "Is it good?"}], "max_tokens": 6, "stream": True}
            with httpx.Client(base_url=server.url, timeout=30) as client:
                while not stop.is_set():
                    try:
                        with client.stream("POST", "/v1/chat/completions", json=body) as answer:
                            text = "".join(answer.iter_text())
                    except httpx.HTTPError as error:
                        failures.append(repr(error))
                        continue
                    if answer.status_code != 200 or not text.rstrip().endswith("[DONE]"):
                        failures.append(text[-300:])

        clients = [threading.Thread(target=one) for one in (classify, classify, classify, chat, chat)]
        for one in clients:
            one.start()
        try:
            for _ in range(3):
                _flip(["promote", "reviews@2", "--reason", "a test"], "reviews@2", seen)
                _flip(["rollback", "reviews"], "reviews@1", seen)
        finally:
            stop.set()
            for one in clients:
                one.join()
    assert failures == []
    counts = Counter(version for _, version in seen)
    assert set(counts) == {"reviews@1", "reviews@2"}
    assert sum(counts.values()) > 50
    assert [one["action"] for one in registry.history()][3:] == ["promote", "rollback"] * 3


def _flip(command: list[str], expected: str, seen: list[tuple[float, str]]) -> None:
    """Run the command and wait until the server answers by the version that it made the champion, at most ten seconds."""
    assert main(command) == 0
    flipped = time.monotonic()
    while not any(at > flipped and version == expected for at, version in seen[-200:]):
        assert time.monotonic() - flipped < 10, f"{command}: the server does not follow"
        time.sleep(0.05)
    time.sleep(0.3)
    late = [version for at, version in seen if at > time.monotonic() - 0.2]
    assert set(late) <= {expected}
