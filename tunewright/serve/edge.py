"""The outermost layer of the app: what holds for every request, whichever route it takes.

A request id, security headers, one line in the log, no answer to unknown hosts while no key is asked for, 503 while the server
shuts down, a time for each write (a client that does not read is cut off), and no traceback for anybody but the log.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tunewright.serve.errors import ApiError, ClientGone, error_document
from tunewright.serve.logs import LOG
from tunewright.serve.service import Service

WRITE_SECONDS = 30.0  # for the client to take what was written to it
OPEN_WHILE_DRAINING = ("/health", "/ready", "/metrics")
QUIET = ("/health", "/ready", "/metrics")  # not worth a line when all is well
SECURITY_HEADERS = {
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "cross-origin-resource-policy": "same-origin",
}


class Edge:
    """ASGI middleware around everything."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self.app, self.service = app, service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        passage = _Passage(scope, send)
        counts = scope["path"] not in QUIET
        self.service.in_flight += counts
        try:
            await self._through(passage, receive)
        finally:
            self.service.in_flight -= counts
            self._tell(passage)

    async def _through(self, passage: _Passage, receive: Receive) -> None:
        try:
            self._check(passage.scope)
            await self.app(passage.scope, receive, passage.send)
        except ApiError as error:
            await passage.refuse(error)
        except (ClientGone, SlowReader):
            passage.status = passage.status if passage.started else 499
        except Exception:
            LOG.exception("%s: %s %s failed", passage.id, passage.scope["method"], passage.scope["path"])
            message = "Something went wrong in the server. Its log says what, under this request's id."
            await passage.refuse(ApiError(500, message, "internal_error"))

    def _check(self, scope: Scope) -> None:
        """Raises `ApiError` for a request that no route should see."""
        if self.service.draining and scope["path"] not in OPEN_WHILE_DRAINING:
            message = "The server is shutting down. Try again: another one, or this one soon."
            raise ApiError(503, message, "shutting_down", headers={"retry-after": "5", "connection": "close"})
        allowed = self.service.setup.hosts
        if allowed and not self.service.keyring.required:
            host = _host_of(Headers(scope=scope).get("host", ""))
            if host not in allowed:
                self.service.metrics.refused.labels("host").inc()
                message = (
                    "This server answers to its own names only while it asks for no API key (a web page elsewhere could use it otherwise)."
                )
                raise ApiError(403, message, "unknown_host")

    def _tell(self, passage: _Passage) -> None:
        scope, status = passage.scope, passage.status
        route = scope.get("route")
        path = getattr(route, "path", "other")
        self.service.metrics.http.labels(path, str(status)).inc()
        if scope["path"] in QUIET and status < 400:
            return
        call = scope["state"].get("call")
        about = f" {call.choice.name} {call.choice.side}" if call is not None and call.choice is not None else ""
        about += f" key={call.key.id}" if call is not None and call.key is not None else ""
        client = scope["client"][0] if scope.get("client") else "-"
        seconds = time.monotonic() - passage.began
        LOG.info("%s %s %s %d %.3fs %s%s", scope["state"]["id"], scope["method"], scope["path"], status, seconds, client, about)


class SlowReader(Exception):
    """The client does not read what it asked for."""


class _Passage:
    """One request on its way through, and what was sent of its answer."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self.id = f"req-{secrets.token_hex(12)}"
        self.scope: dict[str, Any] = {**scope, "state": {**scope.get("state", {}), "id": self.id}}
        self.status, self.started, self.began = 499, False, time.monotonic()
        self._send = send

    async def send(self, message: Message) -> None:
        """Send on, with the headers that every answer has, within `WRITE_SECONDS`."""
        if message["type"] == "http.response.start":
            self.started, self.status = True, message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in SECURITY_HEADERS.items():
                headers.setdefault(name, value)
            headers["x-request-id"] = self.scope["state"]["id"]
            if self.scope.get("scheme") == "https":
                headers.setdefault("strict-transport-security", "max-age=31536000")
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                await self._send(message)
        except TimeoutError as error:
            LOG.warning("%s: the client did not read its answer for %.0f s and was cut off", self.scope["state"]["id"], WRITE_SECONDS)
            raise SlowReader from error

    async def refuse(self, error: ApiError) -> None:
        """Answer with an error, unless an answer has begun: then the connection ends there."""
        if self.started:
            raise error
        body = json.dumps(error_document(error.status, error.message, error.code, error.param)).encode()
        headers = {"content-type": "application/json", "content-length": str(len(body)), **error.headers}
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        await self.send({"type": "http.response.start", "status": error.status, "headers": raw})
        await self.send({"type": "http.response.body", "body": body})


def _host_of(value: str) -> str:
    """The name in a Host header, without the port."""
    value = value.strip().lower()
    if value.startswith("["):
        return value[1:].split("]")[0]
    return value.rsplit(":", 1)[0] if value.count(":") == 1 else value
