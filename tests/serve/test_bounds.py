"""Hostile requests: each is refused with the right status, the engine never sees it, and the next honest one is answered."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.serve.conftest import Start
from tests.serve.house import make_release, setup_of
from tunewright.core.errors import RunError
from tunewright.core.files import read_json, write_json
from tunewright.serve import body, logs
from tunewright.serve.releases import verify
from tunewright.serve.target import find_target

JSON = {"content-type": "application/json"}
CHAT = "/v1/chat/completions"


def message(text: str) -> dict[str, Any]:
    return {"model": "reviews", "messages": [{"role": "user", "content": text}], "temperature": 0}


def error_of(response: Any) -> dict[str, Any]:
    assert set(response.json()) == {"error"}
    return dict(response.json()["error"])


def still_answers(client: TestClient) -> None:
    assert client.post(CHAT, json=message("say yes")).json()["choices"][0]["message"]["content"] == "yes"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"null",
        b"[]",
        b'"text"',
        b"{",
        b'{"model": "reviews",}',
        b"\xff\xfe{}",
        b'{"model": "\xc3\x28"}',
        b'{"model": "\\ud800"}',
        b'{"model": "a\\u0000b"}',
        b'{"a\\u0000b": 1}',
        b'{"model": "reviews", "temperature": NaN}',
        b'{"model": "reviews", "temperature": Infinity}',
        b'{"model": "reviews", "temperature": 1e999}',
        b'{"model": "reviews", "seed": ' + b"9" * 5000 + b"}",
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 5000 + b"1" + b"}" * 5000,
        b'{"model": ' + b"[" * 65 + b"]" * 65 + b"}",
    ],
    ids=range(18),
)
def test_what_is_not_clean_json_is_400(client: TestClient, raw: bytes):
    response = client.post(CHAT, content=raw, headers=JSON)
    assert response.status_code == 400
    assert error_of(response)["type"] == "invalid_request_error"
    assert client.app.state.service.engine._asked == []
    still_answers(client)


@pytest.mark.parametrize("key", ["x-unknown", "", " ", "a.b", "a\nb", "str", "é", "k" * 10_000, "__class__"])
@pytest.mark.parametrize("path", [CHAT, "/v1/completions", "/v1/classify", "/v1/explain", "/v1/feedback"])
def test_keys_with_odd_names_are_unknown_and_nothing_else(client: TestClient, path: str, key: str):
    honest = {
        "model": "reviews",
        "messages": [{"role": "user", "content": "hi"}],
        "prompt": "hi",
        "input": "hi",
        "request_id": "cls-" + "0" * 24,
    }
    needed = {CHAT: ("model", "messages"), "/v1/completions": ("model", "prompt"), "/v1/feedback": ("request_id",)}.get(
        path, ("model", "input")
    )
    body = {name: honest[name] for name in needed} | ({"thumb": "up"} if path == "/v1/feedback" else {}) | {key: 42}
    response = client.post(path, json=body)
    assert (response.status_code, error_of(response)["code"]) == (400, "unknown_parameter")
    assert len(response.text) < 1500


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("temperature", 10**400), ("temperature", -0.1), ("temperature", True), ("seed", 2**63), ("seed", -(2**63) - 1), ("seed", 0.5), ("n", 10**30),
        ("n", 129), ("max_tokens", 2**40), ("max_tokens", -1), ("top_p", 1.0000001), ("stop", ["a" * 501]), ("stop", [""]), ("user", "u" * 201),
        ("frequency_penalty", 2.5), ("tools", [{"type": "function", "function": {"name": "a b"}}]), ("model", "m" * 301),
    ],
)  # fmt: skip
def test_values_beyond_their_bounds_are_400(client: TestClient, key: str, value: Any):
    response = client.post(CHAT, content=json.dumps({**message("hi"), key: value}), headers=JSON)
    assert response.status_code == 400
    assert len(error_of(response)["message"]) < 700
    assert client.app.state.service.engine._asked == []


def test_a_body_that_says_it_is_too_large_is_refused_before_it_is_read(start: Start):
    client = start("serve.max_request_bytes=2000")
    response = client.post(CHAT, json=message("x" * 3000))
    assert (response.status_code, error_of(response)["code"]) == (413, "request_too_large")
    assert response.headers["connection"] == "close"


def test_a_body_without_a_length_is_cut_off_at_the_limit(start: Start):
    client = start("serve.max_request_bytes=2000")
    sent = []

    def chunks() -> Iterator[bytes]:
        for _ in range(1000):
            sent.append(1)
            yield b"x" * 1000

    assert client.post(CHAT, content=chunks(), headers=JSON).status_code == 413


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "application/x-www-form-urlencoded"}, 415),
        ({"content-type": "multipart/form-data; boundary=x"}, 415),
        ({}, 415),
        ({**JSON, "content-encoding": "gzip"}, 415),
        ({"content-type": "application/json; charset=utf-8"}, 200),
        ({**JSON, "content-length": "9" * 30}, 413),
    ],
)
def test_types_and_encodings(client: TestClient, headers: dict[str, str], status: int):
    assert client.post(CHAT, content=json.dumps(message("hi")).encode(), headers=headers).status_code == status


def test_a_slow_body_is_408(client: TestClient, monkeypatch: pytest.MonkeyPatch):
    import asyncio

    from starlette.requests import Request

    from tunewright.serve.errors import ApiError
    from tunewright.serve.schemas import ChatBody

    monkeypatch.setattr(body, "BODY_SECONDS", 0.05)

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0.03)
        return {"type": "http.request", "body": b" ", "more_body": True}

    async def read() -> None:
        scope = {"type": "http", "method": "POST", "path": CHAT, "headers": [(b"content-type", b"application/json")]}
        await body.read(Request(scope, receive), ChatBody, 1000)

    with pytest.raises(ApiError) as error:
        asyncio.run(read())
    assert error.value.status == 408


@pytest.mark.parametrize(
    "path",
    ["/../../etc/passwd", "/v1/models/../../etc/passwd", "/v1/models/%2e%2e%2f%2e%2e%2fetc%2fpasswd", "/v1/models/reviews%00", "/v1//models",
     "/v1/models/", "/docs", "/redoc", "/%ff"],
)  # fmt: skip
def test_paths_lead_nowhere_else(client: TestClient, path: str):
    response = client.get(path)
    assert response.status_code == 404
    assert "root:" not in response.text
    error_of(response)


@pytest.mark.parametrize(
    "name", ["../reviews", "/etc/passwd", "reviews/../../x", "reviews@../1", "file:///etc/passwd", "http://127.0.0.1:1/x"]
)
def test_names_of_models_are_never_paths_or_addresses(client: TestClient, name: str):
    response = client.post(CHAT, json={**message("hi"), "model": name})
    assert (response.status_code, error_of(response)["code"]) == (404, "model_not_found")
    assert client.app.state.service.engine._asked == []


@pytest.mark.parametrize(
    "more",
    [
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "URL"}}]}]},
        {"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "URL", "format": "wav"}}]}]},
        {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "URL"}}]}]},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"$ref": "URL"}}}},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"items": [{"$dynamicRef": "URL#a"}]}}}},
        {"web_search_options": {"url": "URL"}},
        {"base_url": "URL"},
        {"upstream": "URL"},
        {"webhook": "URL"},
    ],
)
def test_nothing_in_a_request_makes_the_server_fetch(client: TestClient, more: dict[str, Any]):
    import socket

    with socket.socket() as trap:
        trap.bind(("127.0.0.1", 0))
        trap.listen()
        trap.settimeout(0.05)
        filled = json.loads(json.dumps({**message("hi"), **more}).replace("URL", f"http://127.0.0.1:{trap.getsockname()[1]}/secret"))
        assert client.post(CHAT, json=filled).status_code == 400
        with pytest.raises(TimeoutError):
            trap.accept()


def test_every_answer_has_security_headers_and_none_invites_other_sites(client: TestClient):
    origin = {"origin": "https://evil.example"}
    responses = [
        client.get("/health", headers=origin),
        client.get("/nix", headers=origin),
        client.post(CHAT, json=message("boom"), headers=origin),
        client.post(CHAT, json=message("hi"), headers=origin),
        client.options(CHAT, headers={**origin, "access-control-request-method": "POST"}),
    ]
    assert [one.status_code for one in responses] == [200, 404, 500, 200, 405]
    for one in responses:
        assert one.headers["x-content-type-options"] == "nosniff"
        assert one.headers["cache-control"] == "no-store"
        assert one.headers["content-security-policy"].startswith("default-src 'none'")
        assert one.headers["x-request-id"]
        assert "server" not in one.headers
        assert not [name for name in one.headers if name.startswith("access-control-")]


def test_without_keys_the_server_answers_to_its_own_names_only(start: Start, tmp_path: Path):
    """Or a web page could reach it by a name that it makes point here (DNS rebinding)."""
    client = start(setup=setup_of(tmp_path, make_release(tmp_path / "reviews"), hosts=("127.0.0.1", "localhost", "::1")))
    for host, status in (
        ("127.0.0.1:8000", 200),
        ("localhost", 200),
        ("[::1]:8000", 200),
        ("evil.example", 403),
        ("evil.example:8000", 403),
        ("", 403),
    ):
        assert client.get("/health", headers={"host": host}).status_code == status, host


def test_a_line_of_the_log_cannot_be_forged(client: TestClient, caplog: pytest.LogCaptureFixture):
    logging.getLogger("tunewright.serve").propagate = True
    nasty = "x\nERROR forged\r\x1b[2J\u2028\u202eevil"
    client.post(CHAT, json={**message("hi"), "model": nasty}, headers={"x-caller": "a\tb", "user-agent": "ua"})
    client.get("/a%0aERROR%20forged")
    client.post(CHAT, json=message("boom"))
    shown = [logs.OneLine().format(one) for one in caplog.records]
    assert shown
    for line in "\n".join(shown).split("\n"):
        assert line.startswith(("2026-", "20", "    ")), line
        assert not any(character in line for character in "\r\x1b\u2028\u202e")


def test_one_line_stays_one_line_and_short():
    assert logs.one_line("a\nb\x00\x7f\x9b\u2029") == "a\\x0ab\\x00\\x7f\\x9b\\u2029"
    assert len(logs.one_line("x" * 1_000_000)) < 5000


def test_labels_of_metrics_are_the_servers_own_names(client: TestClient):
    before = client.app.state.service.metrics.http.labels("other", "404")._value.get()
    for name in ("evil-1", "evil-2"):
        client.post(CHAT, json={**message("hi"), "model": name, "user": name})
        client.get(f"/{name}")
    page = client.get("/metrics").text
    assert "evil" not in page
    assert f'tunewright_http_requests_total{{path="other",status="404"}} {before + 2}' in page


def test_a_release_that_was_changed_is_not_served(tmp_path: Path):
    release = make_release(tmp_path / "reviews")
    assert verify(release) > 0
    (release / "adapter_model.safetensors").write_bytes(b"other weights")
    with pytest.raises(RunError, match="was changed"):
        find_target(str(release)).read(0, find_target(str(release)).table())


def test_a_manifest_that_points_outside_its_release_is_not_served(tmp_path: Path):
    release = make_release(tmp_path / "reviews")
    manifest = read_json(release / "manifest.json")
    secret = tmp_path / "secret"
    secret.write_text("x")
    write_json(release / "manifest.json", manifest | {"files": [{"path": "../secret", "bytes": 1, "sha256": "0"}]})
    with pytest.raises(RunError, match="outside the release"):
        verify(release)


def test_the_server_reads_no_pickle():
    """Weights are safetensors; nothing in the room of the endpoint could unpickle."""
    room = Path(logs.__file__).parent
    sources = {path: path.read_text() for path in room.rglob("*.py")}
    assert len(sources) > 20
    for path, text in sources.items():
        for word in ("import pickle", "torch.load(", "trust_remote_code=True", "yaml.load(", "eval(", "exec("):
            assert word not in text.replace(".eval(", ""), f"{path}: {word}"
