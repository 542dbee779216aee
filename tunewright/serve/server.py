"""uvicorn, with what it leaves to us: a time for headers, and a shutdown that loses no answer.

SIGTERM: new requests get 503, answers under way are finished, what was logged is stored, then the process ends with code 0. A
second signal ends at once.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from tunewright.core.errors import RunError
from tunewright.serve.app import create_app
from tunewright.serve.logs import LOG, set_up
from tunewright.serve.service import Service, Setup

if TYPE_CHECKING:
    from fastapi import FastAPI

HEADER_SECONDS = 10.0  # for a client to send the headers of a request, from its first byte or the connection's beginning
IDLE_SECONDS = 75  # a connection without a request is closed; longer than what proxies keep
MOST_CONNECTIONS = 1000
MOST_HEADER_BYTES = 32 * 1024
LINGER_SECONDS = 10.0  # past the time of the longest answer, before the process ends anyway


@dataclass(frozen=True)
class Listen:
    """Where the server listens, and whom it believes."""

    host: str = "127.0.0.1"
    port: int = 8000
    tls_cert: Path | None = None
    tls_key: Path | None = None
    trusted_proxies: str | None = None  # addresses or networks whose X-Forwarded-For counts

    @property
    def loopback(self) -> bool:
        """Whether only this machine can connect."""
        if self.host.lower() == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls_cert else 'http'}://{host}:{self.port}"

    def check(self) -> None:
        """Raises `RunError` for what cannot be."""
        if not 0 <= self.port <= 65535:
            raise RunError(f"--port must be between 0 and 65535, but got {self.port}.")
        if (self.tls_cert is None) != (self.tls_key is None):
            raise RunError("--tls-cert and --tls-key go together: the certificate (with its chain) and its private key, as PEM files.")
        for file in (self.tls_cert, self.tls_key):
            if file is not None and not file.is_file():
                raise RunError(f"{file}: there is no such file.")


class Protocol(H11Protocol):
    """HTTP/1.1 where headers have to arrive in time."""

    _headers_by: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # asyncio sets it only on sockets made with an explicit protocol number; without it each answer waits 40 ms for the client's ACK
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._headers_by = self.loop.call_later(HEADER_SECONDS, self._too_slow)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        waiting = self.conn.their_state is h11.IDLE and bool(self.conn.trailing_data[0])
        if not waiting:
            self._stop_clock()
        elif self._headers_by is None:
            self._headers_by = self.loop.call_later(HEADER_SECONDS, self._too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_clock()
        super().connection_lost(exc)

    def _stop_clock(self) -> None:
        if self._headers_by is not None:
            self._headers_by.cancel()
            self._headers_by = None

    def _too_slow(self) -> None:
        self._headers_by = None
        if not self.transport.is_closing():
            self.transport.close()


class Server(uvicorn.Server):
    """A server that drains on the first signal and ends on the second; `said` is called once requests are welcome."""

    def __init__(self, config: uvicorn.Config, service: Service, said: Callable[[], None]) -> None:
        super().__init__(config)
        self.service, self.said = service, said
        self._until = 0.0

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self.said()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.service.draining:
            self.should_exit = self.force_exit = True
            return
        self.service.draining = True
        self._until = time.monotonic() + self.service.settings.timeout_seconds + LINGER_SECONDS

    async def on_tick(self, counter: int) -> bool:
        ended = await super().on_tick(counter)
        if not self.service.draining:
            return ended
        return ended or self.service.in_flight == 0 or time.monotonic() > self._until


def run(setup: Setup, listen: Listen, said: Callable[[Service, str], None]) -> None:
    """Serve until a signal comes. `said(service, url)` is called once requests are welcome. Raises `TunewrightError`."""
    listen.check()
    set_up()
    app = create_app(setup)
    service: Service = app.state.service
    config = _config(app, listen)
    problems: list[BaseException] = []
    _remember(service, problems)
    with _bound(listen) as bound:
        url = replace(listen, port=bound.getsockname()[1]).url
        server = Server(config, service, lambda: said(service, url))
        try:
            asyncio.run(server.serve([bound]))
        except SystemExit:  # how uvicorn says that the start failed
            if problems:
                raise problems[0] from None
            raise
    if service.in_flight:
        LOG.warning("ended with %d requests under way", service.in_flight)


def _bound(listen: Listen) -> socket.socket:
    """A socket that listens where it should. Raises `RunError`."""
    try:
        family, *_, address = socket.getaddrinfo(listen.host, listen.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address[:2], family=family, backlog=2048)
    except OSError as error:
        raise RunError(f"{listen.url} cannot be listened on ({error.strerror or error}). Choose another with --host or --port.") from error


def _remember(service: Service, problems: list[BaseException]) -> None:
    """Keep what made the start fail: uvicorn only logs it."""
    start = service.start

    async def kept() -> None:
        try:
            await start()
        except BaseException as error:
            problems.append(error)
            raise

    service.start = kept  # type: ignore[method-assign]


def _config(app: FastAPI, listen: Listen) -> uvicorn.Config:
    config = uvicorn.Config(
        app,
        http=Protocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=listen.trusted_proxies is not None,
        forwarded_allow_ips=listen.trusted_proxies,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=int(LINGER_SECONDS),
        h11_max_incomplete_event_size=MOST_HEADER_BYTES,
        ssl_certfile=str(listen.tls_cert) if listen.tls_cert else None,
        ssl_keyfile=str(listen.tls_key) if listen.tls_key else None,
    )
    try:
        config.load()
    except (ssl.SSLError, OSError) as error:
        raise RunError(f"--tls-cert {listen.tls_cert} and --tls-key {listen.tls_key} cannot be used: {error}.") from error
    return config
