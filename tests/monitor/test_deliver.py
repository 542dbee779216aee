"""Messages reach a real mail server and a real web hook; a broken receiver is tried again and stops nobody; secrets stay secret."""

from __future__ import annotations

import email
import json
import logging
import socket
import threading
from collections.abc import Iterator
from datetime import timedelta
from email.header import decode_header, make_header
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from tests.monitor.conftest import NOON
from tunewright.core.errors import RecipeError
from tunewright.monitor.deliver import Receiver, deliver, hand_over, receivers
from tunewright.traffic.store import TrafficStore

MESSAGE = ("[critical] demo@0: 1 raised", "CRITICAL error_rate\n  moved: word url_removed", "critical")


class Hook:
    """A web hook on loopback that answers with `status`."""

    def __init__(self) -> None:
        self.status, self.got = 200, []  # type: tuple[int, list[Any]]
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                hook.got.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
                self.send_response(hook.status)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"json://127.0.0.1:{self.server.server_address[1]}/hook"


@pytest.fixture
def hook() -> Iterator[Hook]:
    one = Hook()
    yield one
    one.server.shutdown()
    one.server.server_close()


class Mailbox:
    def __init__(self) -> None:
        self.got: list[Any] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.got.append(envelope)
        return "250 OK"


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture
def mail() -> Iterator[tuple[Mailbox, int]]:
    box = Mailbox()

    def accept(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        return AuthResult(success=(data.login, data.password) == (b"ann", b"s3cret"))

    server = Controller(box, hostname="127.0.0.1", port=free_port(), authenticator=accept, auth_require_tls=False, auth_required=True)
    server.start()
    yield box, server.port
    server.stop()


def round_at(store: TrafficStore, to: list[Receiver], minute: float) -> tuple[int, int, int]:
    done = deliver(store, "demo", to, NOON + timedelta(minutes=minute))
    return done.sent, done.failed, done.given_up


def test_a_web_hook_gets_the_message_once(store: TrafficStore, hook: Hook):
    to = receivers([hook.url])
    hand_over(store, "demo", to, MESSAGE, NOON)
    assert [round_at(store, to, 0), round_at(store, to, 1)] == [(1, 0, 0), (0, 0, 0)]
    (got,) = hook.got
    assert (got["title"], got["message"], got["type"]) == (MESSAGE[0], MESSAGE[1], "failure")


def test_a_mail_server_gets_the_message_with_the_password_from_the_environment(
    store: TrafficStore, mail: tuple[Mailbox, int], monkeypatch: pytest.MonkeyPatch
):
    box, port = mail
    monkeypatch.setenv("MAIL_PASSWORD", "s3cret")
    url = f"mailto://ann:${{MAIL_PASSWORD}}@127.0.0.1:{port}/?smtp=127.0.0.1&from=monitor@example.org&to=team@example.org&mode=insecure"
    to = receivers([url])
    hand_over(store, "demo", to, MESSAGE, NOON)
    assert round_at(store, to, 0) == (1, 0, 0)
    (envelope,) = box.got
    assert envelope.rcpt_tos == ["team@example.org"]
    read = email.message_from_bytes(envelope.content)
    assert str(make_header(decode_header(read["Subject"]))) == MESSAGE[0]
    body = "".join(part.get_payload(decode=True).decode() for part in read.walk() if part.get_content_type() == "text/plain")  # type: ignore[union-attr]
    assert "CRITICAL error_rate" in body
    assert "s3cret" not in to[0].name


def test_a_broken_receiver_is_tried_again_later_and_later_and_the_others_get_theirs_at_once(store: TrafficStore, hook: Hook):
    broken = Hook()
    broken.status = 500
    to = receivers([broken.url, hook.url])
    hand_over(store, "demo", to, MESSAGE, NOON)
    assert [round_at(store, to, minute) for minute in (0, 0.5, 1, 2, 3)] == [(1, 1, 0), (0, 0, 0), (0, 1, 0), (0, 0, 0), (0, 1, 0)]
    broken.status = 200
    assert [round_at(store, to, minute) for minute in (6.9, 7, 8)] == [(0, 0, 0), (1, 0, 0), (0, 0, 0)]
    assert (len(broken.got), len(hook.got)) == (4, 1)
    broken.server.shutdown()


def test_a_receiver_that_is_gone_is_said_and_given_up_after_a_day(store: TrafficStore):
    to = receivers(["json://127.0.0.1:1/"])
    hand_over(store, "demo", to, MESSAGE, NOON)
    assert round_at(store, to, 0) == (0, 1, 0)
    assert round_at(store, to, 25 * 60) == (0, 0, 1)
    assert round_at(store, to, 26 * 60) == (0, 0, 0)


def test_a_monitor_killed_while_sending_sends_again(store: TrafficStore, hook: Hook, monkeypatch: pytest.MonkeyPatch):
    to = receivers([hook.url])
    hand_over(store, "demo", to, MESSAGE, NOON)
    save = TrafficStore.save_alert

    def killed(*_: Any, **__: Any) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(TrafficStore, "save_alert", killed)
    with pytest.raises(KeyboardInterrupt):
        round_at(store, to, 0)
    monkeypatch.setattr(TrafficStore, "save_alert", save)
    assert round_at(store, to, 0) == (1, 0, 0)
    assert len(hook.got) == 2  # at least once


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("json://${NOT_SET_ANYWHERE}/", "needs the environment variable NOT_SET_ANYWHERE"),
        ("slack://***/***", "has lost its secrets"),
        ("json://169.254.169.254/latest/meta-data", "link's own network"),
        ("json://[fe80::1]/", "link's own network"),
        ("file:///etc/passwd", "not a service that Apprise knows"),
        ("nosuchservice://token", "not a service that Apprise knows"),
        ("not a url", "is not a URL"),
    ],
)
def test_urls_that_cannot_be_used_are_refused_with_the_reason(url: str, words: str):
    with pytest.raises(RecipeError, match=r"monitor\.alerts\.urls\[0\]") as caught:
        receivers([url])
    assert words in str(caught.value)


def test_all_wrong_urls_come_at_once_and_show_no_token():
    with pytest.raises(RecipeError) as caught:
        receivers(["nosuchservice://tok3n", "json://ann:pa55word@169.254.1.1/"])
    assert len(caught.value.problems) == 2
    assert "tok3n" not in str(caught.value)
    assert "pa55word" not in str(caught.value)


def test_no_secret_is_stored_or_logged(store: TrafficStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    monkeypatch.setenv("HOOK_TOKEN", "t0psecret")
    caplog.set_level(logging.DEBUG, logger="tunewright")
    to = receivers(["json://ann:${HOOK_TOKEN}@127.0.0.1:1/${HOOK_TOKEN}"])
    hand_over(store, "demo", to, MESSAGE, NOON)
    round_at(store, to, 0)
    told = str(store.alerts().to_dicts()) + caplog.text
    assert "t0psecret" not in told
    assert "${HOOK_TOKEN}" in told


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("slack://T1/B2/C3", "slack://***/***/***"),
        ("slack://${SLACK}/${TOKEN}", "slack://${SLACK}/${TOKEN}"),
        ("tgram://123:ABC/555", "tgram://***:***/***"),
        ("json://127.0.0.1:9000/hook", "json://127.0.0.1:9000/hook"),
        ("jsons://hooks.example.org/services/T00/B00/x9", "jsons://hooks.example.org/services/***/***/***"),
        ("mailto://ann:pw@mail.example.org?to=x@y.z&pass=abc", "mailto://***:***@mail.example.org?to=x@y.z&pass=***"),
        ("${ALL_OF_IT}", "${ALL_OF_IT}"),
        ("justatoken", "***"),
    ],
)
def test_what_a_recipe_on_disk_shows_of_an_alert_url(url: str, shown: str):
    from tunewright.core.loop import AlertSettings

    assert AlertSettings.model_validate({"urls": [url]}).model_dump()["urls"] == [shown]
