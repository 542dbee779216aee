"""A real server under real conditions: changes of the registry, impatient and slow clients, signals, TLS."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.serve.house import ROOT, Running, chat, exchanges, free_port, make_registry, make_release, running, wait_for
from tunewright.cli import main
from tunewright.serve.keys import KeyFile
from tunewright.serve.server import Listen

pytestmark = pytest.mark.slow
SLOW = ("--set", "serve.engine={name: tests.serve.words.Words, seconds_a_token: 0.02}")


def gauge(url: str, name: str) -> float:
    """A metric without labels."""
    page = httpx.get(f"{url}/metrics").text
    return float(next(line.split()[-1] for line in page.splitlines() if line.startswith(f"tunewright_{name} ")))


class Load:
    """Callers that ask without a pause, until `stop`; what they got is counted."""

    def __init__(self, url: str, callers: int = 4) -> None:
        self.url, self.versions, self.statuses = url, Counter[str](), Counter[int]()
        self._end = threading.Event()
        self._pool = ThreadPoolExecutor(callers)
        self._asking = [self._pool.submit(self._ask, number) for number in range(callers)]

    def _ask(self, number: int) -> None:
        with httpx.Client(timeout=30) as client:
            while not self._end.is_set():
                text = f"say word {number}"
                body = {"model": "reviews", "messages": [{"role": "user", "content": text}], "user": f"u{number}"}
                response = client.post(f"{self.url}/v1/chat/completions", json=body)
                self.statuses[response.status_code] += 1
                if response.status_code == 200:
                    self.versions[response.headers["x-tunewright-version"]] += 1

    def stop(self) -> None:
        self._end.set()
        for one in self._asking:
            one.result(30)
        self._pool.shutdown()


def test_promotion_and_rollback_under_load_lose_no_request(tmp_path: Path):
    registry = make_registry(tmp_path)
    with running(tmp_path, "reviews", *SLOW) as server:
        load = Load(server.url)

        def serves(version: int) -> bool:
            before = load.versions[f"reviews@{version}"]
            time.sleep(0.2)
            return load.versions[f"reviews@{version}"] > before + 2

        wait_for(lambda: serves(1))
        registry.promote(2, reason="better", by="test")
        wait_for(lambda: serves(2))
        assert main(["rollback", "reviews", "--registry", str(tmp_path / "registry"), "--reason", "worse", "--by", "test"]) == 0
        wait_for(lambda: serves(1))
        load.stop()
        assert set(load.statuses) == {200}
        assert set(load.versions) == {"reviews@1", "reviews@2"}
        assert "unloaded reviews@2" in wait_for(lambda: server.log.read_text() if "unloaded reviews@2" in server.log.read_text() else "")
        assert server.stop() == 0
    rows = exchanges(tmp_path)
    assert len(rows) == sum(load.statuses.values())
    assert Counter(one["version"] for one in rows) == load.versions


def test_a_challenger_that_cannot_be_loaded_leaves_the_champion_serving(tmp_path: Path):
    registry = make_registry(tmp_path, versions=3)
    with running(tmp_path, "reviews") as server:
        registry.set_challenger(2, reason="try", by="test")
        (registry.path(2) / "adapter_model.safetensors").write_bytes(b"tampered")
        registry.set_rollout("shadow", 1.0, reason="try", by="test")
        wait_for(lambda: "challenger reviews@2 cannot be served" in server.log.read_text())
        assert chat(server.url, "say yes").headers["x-tunewright-version"] == "reviews@1"
        assert chat(server.url, "say yes", model="reviews@2").status_code in (404, 503)
        registry.promote(3, reason="other", by="test")
        wait_for(lambda: chat(server.url, "say yes").headers["x-tunewright-version"] == "reviews@3")


def test_a_broken_registry_file_changes_nothing(tmp_path: Path):
    registry = make_registry(tmp_path)
    with running(tmp_path, "reviews") as server:
        whole = registry.file.read_text()
        registry.file.write_text("{")
        wait_for(lambda: "the versions stay as they were" in server.log.read_text())
        assert chat(server.url, "say yes").status_code == 200
        registry.file.write_text(whole)
        registry.promote(2, reason="better", by="test")
        wait_for(lambda: chat(server.url, "say yes").headers["x-tunewright-version"] == "reviews@2")


def test_a_canary_splits_callers_and_each_sticks_to_its_side(tmp_path: Path):
    registry = make_registry(tmp_path)
    registry.set_challenger(2, reason="try", by="test")
    registry.set_rollout("canary", 0.5, reason="try", by="test")
    with running(tmp_path, "reviews") as server:
        first = [chat(server.url, "say yes", user=f"u{n}").headers["x-tunewright-version"] for n in range(40)]
        again = [chat(server.url, "say yes", user=f"u{n}").headers["x-tunewright-version"] for n in range(40)]
        assert first == again
        assert 8 < first.count("reviews@2") < 32
        named = {chat(server.url, "say yes", headers={"x-caller": "ann"}).headers["x-tunewright-version"] for _ in range(5)}
        assert len(named) == 1
        server.stop()
    rows = exchanges(tmp_path)
    assert Counter(one["side"] for one in rows)["challenger"] == sum(one["version"] == "reviews@2" for one in rows)
    assert {one["version"] for one in rows if one["side"] == "challenger"} == {"reviews@2"}


def test_the_shadow_gets_copies_that_nobody_sees(tmp_path: Path):
    registry = make_registry(tmp_path)
    registry.set_challenger(2, reason="try", by="test")
    registry.set_rollout("shadow", 1.0, reason="try", by="test")
    with running(tmp_path, "reviews") as server:
        asked = chat(server.url, "say yes").json()["id"]
        streamed = chat(server.url, "say no", stream=True)
        assert streamed.headers["x-tunewright-version"] == "reviews@1"
        labels = httpx.post(f"{server.url}/v1/classify", json={"model": "reviews", "input": ["I love it", "it broke"]}).json()
        failing = chat(server.url, "boom")
        assert failing.status_code == 500
        rows = wait_for(lambda: (found := exchanges(tmp_path, sides="shadow")) and len(found) == 4 and found)
    assert {one["version"] for one in rows} == {"reviews@2"}
    assert {one["release"] for one in rows} == {"weights-2"}
    assert {one["shadow_of"] for one in rows} >= {asked, labels["data"][0]["id"], labels["data"][1]["id"]}
    assert not {one["id"] for one in rows} & {one["shadow_of"] for one in rows}


def test_copies_that_still_wait_when_the_shadow_ends_are_left_out(tmp_path: Path):
    registry = make_registry(tmp_path)
    registry.set_challenger(2, reason="try", by="test")
    registry.set_rollout("shadow", 1.0, reason="try", by="test")
    slow = "serve.engine={name: tests.serve.words.Words, seconds_a_token: 0.1, slots: 20}"
    with running(tmp_path, "reviews", "--set", slow, "--set", "serve.shadow_queue=100") as server:
        with ThreadPoolExecutor(20) as pool:
            list(pool.map(lambda n: chat(server.url, f"say a b c {n}"), range(20)))
        registry.set_challenger(None, reason="enough", by="test")
        wait_for(lambda: "unloaded reviews@2" in server.log.read_text())
        left = 'tunewright_shadow_left_out_total{version="reviews@2"}'
        wait_for(lambda: left in httpx.get(f"{server.url}/metrics").text)
        time.sleep(1)  # the copy under way ends
        seen = len(exchanges(tmp_path, sides="shadow"))
        assert seen < 20
        time.sleep(1)
        assert len(exchanges(tmp_path, sides="shadow")) == seen, "nobody asks a version that was turned down"
        assert server.log.read_text().count("loaded reviews@2 (") == 1


def test_a_full_shadow_queue_leaves_copies_out_and_counts_them(tmp_path: Path):
    registry = make_registry(tmp_path)
    registry.set_challenger(2, reason="try", by="test")
    registry.set_rollout("shadow", 1.0, reason="try", by="test")
    with running(tmp_path, "reviews", *SLOW, "--set", "serve.shadow_queue=1") as server:
        with ThreadPoolExecutor(8) as pool:
            statuses = {one.status_code for one in pool.map(lambda n: chat(server.url, f"say a b c {n}"), range(24))}
        assert statuses == {200}
        page = httpx.get(f"{server.url}/metrics").text
        assert 'tunewright_shadow_left_out_total{version="reviews@2"}' in page


def test_a_full_queue_is_429_with_retry_after_and_ready_shows_it(tmp_path: Path):
    slots = "serve.engine={name: tests.serve.words.Words, seconds_a_token: 0.05, slots: 1}"
    with running(tmp_path, make_release(tmp_path / "reviews"), "--set", slots, "--set", "serve.queue=2") as server:
        with ThreadPoolExecutor(12) as pool:
            asking = [pool.submit(chat, server.url, "say a b c d e f g h i j") for _ in range(12)]
            full = wait_for(lambda: (one := httpx.get(f"{server.url}/ready")).json()["queue_full"] and one, 5, 0.01)
            assert full.status_code == 200, "who takes full replicas away leaves none"
            answers = [one.result() for one in asking]
        statuses = Counter(one.status_code for one in answers)
        assert set(statuses) == {200, 429}
        assert statuses[200] >= 3
        refused = next(one for one in answers if one.status_code == 429)
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert refused.json()["error"]["code"] == "queue_full"
        wait_for(lambda: (gauge(server.url, "num_requests_running"), gauge(server.url, "num_requests_waiting")) == (0, 0))
        server.stop()
    assert Counter(one["status"] for one in exchanges(tmp_path)) == statuses


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
def test_a_client_that_leaves_cancels_the_work_and_is_logged(tmp_path: Path, stream: bool):
    with running(tmp_path, make_release(tmp_path / "reviews"), *SLOW) as server:
        body = json.dumps({"model": "reviews", "messages": [{"role": "user", "content": "say a hang"}], "stream": stream})
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        with socket.create_connection(("127.0.0.1", httpx.URL(server.url).port)) as caller:
            caller.sendall((head + body).encode())
            wait_for(lambda: gauge(server.url, "num_requests_running") == 1)
        wait_for(lambda: gauge(server.url, "num_requests_running") == 0)
        (row,) = wait_for(lambda: exchanges(tmp_path))
    assert (row["finish"], row["status"], row["error"]) == ("cancelled", 499, "cancelled")
    assert row["answer"].startswith("a")


def test_sigterm_finishes_answers_and_refuses_new_ones(tmp_path: Path):
    with running(tmp_path, make_release(tmp_path / "reviews"), *SLOW) as server:
        words = " ".join(map(str, range(60)))
        with ThreadPoolExecutor(6) as pool:
            whole = [pool.submit(chat, server.url, f"say {words}") for _ in range(3)]
            streams = [pool.submit(chat, server.url, f"say {words}", stream=True) for _ in range(3)]
            wait_for(lambda: gauge(server.url, "num_requests_running") == 6)
            server.process.send_signal(signal.SIGTERM)
            late = wait_for(lambda: (found := chat(server.url, "say late")).status_code == 503 and found, 3)
            assert late.json()["error"]["code"] == "shutting_down"
            assert late.headers["connection"] == "close"
            assert httpx.get(f"{server.url}/ready").status_code == 503
            assert httpx.get(f"{server.url}/health").status_code == 200
            assert [one.result().json()["choices"][0]["message"]["content"] for one in whole] == [words] * 3
            assert all(one.result().text.endswith("data: [DONE]\n\n") for one in streams)
        assert server.process.wait(10) == 0
    assert Counter(one["status"] for one in exchanges(tmp_path)) == {200: 6}


def test_a_second_signal_ends_at_once(tmp_path: Path):
    with running(tmp_path, make_release(tmp_path / "reviews"), *SLOW) as server:
        with ThreadPoolExecutor(1) as pool:
            hanging = pool.submit(chat, server.url, "say a hang")
            wait_for(lambda: gauge(server.url, "num_requests_running") == 1)
            server.process.send_signal(signal.SIGTERM)
            wait_for(lambda: httpx.get(f"{server.url}/ready").status_code == 503)
            began = time.monotonic()
            server.process.send_signal(signal.SIGTERM)
            server.process.wait(10)
            assert time.monotonic() - began < 5
            with contextlib.suppress(httpx.HTTPError):
                assert hanging.result(10).status_code == 500


def dribble(url: str, start: bytes, seconds: float) -> float:
    """Send `start`, then a byte now and then; how long until the server hung up."""
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", httpx.URL(url).port)) as caller:
        caller.sendall(start)
        caller.settimeout(0.2)
        while time.monotonic() - began < seconds:
            try:
                if caller.recv(1000) == b"":
                    return time.monotonic() - began
            except TimeoutError:
                pass
            except ConnectionError:
                return time.monotonic() - began
            try:
                caller.sendall(b"x")
            except OSError:
                return time.monotonic() - began
    return seconds


PATIENCE = """
import sys
from tunewright.serve import body, edge, server
server.HEADER_SECONDS = body.BODY_SECONDS = edge.WRITE_SECONDS = 1.0
from tunewright.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def impatient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A server whose time-outs for clients are one second each."""
    script = tmp_path / "impatient.py"
    script.write_text(PATIENCE)
    real = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda command, **more: real([sys.executable, str(script), *command[3:]], **more))
    with running(tmp_path, make_release(tmp_path / "reviews"), "--set", "serve.max_request_bytes=50000000") as server:
        yield server


def test_slow_clients_are_cut_off_and_others_go_on(impatient: Running):
    """Slow headers, headers without an end, a slow body, a connection that says nothing."""
    url = impatient.url
    lines = b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    starts = {
        "headers": lines + b"X-Slow: ",
        "body": lines + b"Content-Length: 1000\r\n\r\n{",
        "chunked": lines + b"Transfer-Encoding: chunked\r\n\r\n",
    }
    starts["second"] = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" + lines + b"X-Slow: "
    with ThreadPoolExecutor(5) as pool:
        slow = {name: pool.submit(dribble, url, start, 10.0) for name, start in starts.items()}
        silent = pool.submit(dribble, url, b"", 10.0)
        while not all(one.done() for one in slow.values()):
            assert chat(url, "say yes").status_code == 200
        assert {name: one.result() < 5 for name, one in slow.items()} == dict.fromkeys(starts, True)
        assert silent.result() < 5


def test_a_client_that_does_not_read_is_cut_off(impatient: Running):
    body = json.dumps({"model": "reviews", "prompt": "x" * 20_000_000, "echo": True, "max_tokens": 1, "stream": True})
    head = f"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.socket() as caller:
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        caller.connect(("127.0.0.1", httpx.URL(impatient.url).port))
        caller.sendall((head + body).encode())
        wait_for(lambda: "did not read its answer" in impatient.log.read_text(), 60)
    assert chat(impatient.url, "say yes").status_code == 200


def test_headers_have_a_size(server: Running):
    with socket.create_connection(("127.0.0.1", httpx.URL(server.url).port)) as caller:
        caller.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Big: " + b"x" * 200_000)
        try:
            answer = caller.recv(1000)
        except ConnectionError:
            answer = b""
    assert not answer or answer.startswith(b"HTTP/1.1 4")
    assert httpx.get(f"{server.url}/health").status_code == 200


def test_what_is_not_http_is_refused(server: Running):
    for raw in (
        b"\x16\x03\x01\x02\x00\x01",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\0" * 100 + b"\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", httpx.URL(server.url).port)) as caller:
            caller.sendall(raw + b"\r\n\r\n")
            caller.settimeout(5)
            assert caller.recv(1000)[:10] in (b"HTTP/1.1 4", b"")
    assert httpx.get(f"{server.url}/health").status_code == 200


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for localhost, signed by itself."""
    from datetime import UTC, datetime, timedelta
    from ipaddress import ip_address

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    own = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))])
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1))
    signed = (
        made.add_extension(own, critical=False).add_extension(x509.BasicConstraints(True, None), critical=True).sign(key, hashes.SHA256())
    )
    cert, secret = folder / "cert.pem", folder / "key.pem"
    cert.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    secret.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    return cert, secret


def test_tls_by_flag(tmp_path: Path):
    cert, key = certificate(tmp_path)
    with running(tmp_path, make_release(tmp_path / "reviews"), "--tls-cert", str(cert), "--tls-key", str(key)) as server:
        assert server.url.startswith("https://")
        response = httpx.get(f"{server.url}/health", verify=ssl.create_default_context(cafile=str(cert)))
        assert response.status_code == 200
        assert "max-age" in response.headers["strict-transport-security"]
        with pytest.raises(httpx.HTTPError):
            httpx.get(f"{server.url.replace('https', 'http')}/health")


@pytest.mark.parametrize(("trusted", "seen"), [(["--trusted-proxies", "127.0.0.1"], "198.51.100.9"), ([], "127.0.0.1")])
def test_a_forwarded_address_counts_only_from_a_trusted_proxy(tmp_path: Path, trusted: list[str], seen: str):
    with running(tmp_path, make_release(tmp_path / "reviews"), *trusted) as server:
        chat(server.url, "say yes", headers={"x-forwarded-for": "198.51.100.9"})
        assert wait_for(lambda: f" {seen} reviews@0" in server.log.read_text())


def test_listening_for_others_without_keys_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    release, where = make_release(tmp_path / "reviews"), ["--registry", str(tmp_path / "registry")]
    for host in ("0.0.0.0", "::", "192.0.2.1", "example.org"):
        assert main(["serve", str(release), "--host", host, *where]) == 2
        assert "tunewright keys create" in capsys.readouterr().err


def test_with_a_key_it_listens_for_others_and_asks_everybody(tmp_path: Path):
    token, _ = KeyFile(tmp_path / "registry" / "keys.json").create("shop")
    with running(tmp_path, make_release(tmp_path / "reviews"), "--host", "0.0.0.0") as server:
        url = server.url.replace("0.0.0.0", "127.0.0.1")
        assert chat(url, "say yes").status_code == 401
        assert chat(url, "say yes", headers={"authorization": f"Bearer {token}"}).status_code == 200
        assert server.said["keys"] is True


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nix"], "neither a directory"),
        (["EMPTY"], "cannot be served"),
        (["RELEASE", "--set", "serve.quue=2"], "Did you mean 'queue'"),
        (["RELEASE", "--set", "tune.minutes=2"], "only serve.KEY=VALUE"),
        (["RELEASE", "--set", "serve.engine=nix"], "not one of the engines"),
        (["RELEASE", "--port", "99999"], "between 0 and 65535"),
        (["RELEASE", "--tls-cert", "x.pem"], "go together"),
        (["TAMPERED"], "was changed since the release was packed"),
        (["BROKEN"], "the weights are broken"),
        (["NOBODY"], "no champion"),
    ],
)
def test_what_cannot_be_served_is_said_plainly(tmp_path: Path, capfd: pytest.CaptureFixture[str], arguments: list[str], message: str):
    release = make_release(tmp_path / "reviews")
    (tmp_path / "empty").mkdir()
    (make_release(tmp_path / "tampered") / "adapter_model.safetensors").write_bytes(b"other")
    (make_release(tmp_path / "broken") / "broken").write_text("")
    registry = make_registry(tmp_path / "nobody", versions=1)
    registry.file.write_text(json.dumps(json.loads(registry.file.read_text()) | {"aliases": {}}))
    names = {"EMPTY": "empty", "RELEASE": str(release), "TAMPERED": "tampered", "BROKEN": "broken", "NOBODY": "nobody/registry/reviews"}
    places = [str(tmp_path / names[one]) if one in names else one for one in arguments]
    before = Path.cwd()
    import os

    os.chdir(tmp_path)
    try:
        code = main(["serve", *places, *([] if "--port" in places else ["--port", str(free_port())])])
    finally:
        os.chdir(before)
    assert code == 2
    assert message in capfd.readouterr().err


def test_a_taken_port_is_said_plainly(tmp_path: Path, server: Running, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert main(["serve", str(make_release(tmp_path / "reviews")), "--port", str(httpx.URL(server.url).port)]) == 2
    assert "cannot be listened on" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("localhost", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("a.b", False),
    ],
)
def test_loopback(host: str, loopback: bool):
    assert Listen(host).loopback is loopback


def test_what_is_not_approved_is_served_with_a_warning(tmp_path: Path):
    release = make_release(tmp_path / "reviews", approved=False)
    command = [sys.executable, "-m", "tunewright.cli", "serve", str(release), "--port", "0"]
    import os

    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}
    ) as process:
        assert process.stdout is not None
        first, second = process.stdout.readline(), process.stdout.readline()
        process.terminate()
        _, errors = process.communicate(timeout=20)
    assert first.startswith("reviews listens on http://127.0.0.1:")
    assert "curl http://127.0.0.1:" in second
    assert "NOT APPROVED" in errors


def test_every_ending_is_in_the_traffic_store_once(tmp_path: Path):
    with running(tmp_path, make_release(tmp_path / "reviews"), "--set", "serve.timeout_seconds=1") as server:
        asked: list[tuple[int, Callable[[], httpx.Response]]] = [
            (200, lambda: chat(server.url, "say yes")),
            (200, lambda: chat(server.url, "say yes", stream=True)),
            (400, lambda: chat(server.url, "refuse")),
            (400, lambda: chat(server.url, "say yes", temperature=9)),
            (404, lambda: chat(server.url, "say yes", model="nix")),
            (500, lambda: chat(server.url, "boom")),
            (504, lambda: chat(server.url, "say hang")),
            (200, lambda: httpx.post(f"{server.url}/v1/explain", json={"model": "reviews", "input": "I love it"})),
            (200, lambda: httpx.post(f"{server.url}/v1/completions", json={"model": "reviews", "prompt": "a", "n": 2})),
        ]
        for status, ask in asked:
            assert ask().status_code == status
        server.stop()
    rows = exchanges(tmp_path)
    assert sorted(one["status"] for one in rows) == sorted([status for status, _ in asked] + [200])
    assert len({one["id"] for one in rows}) == len(rows)
    assert {one["endpoint"] for one in rows} == {"chat", "completions", "explain"}
    failed = {one["status"]: one for one in rows if one["status"] != 200}
    assert failed[504]["error"] == "timeout"
    assert failed[404]["version"] == ""
    assert failed[500]["version"] == "reviews@0"
