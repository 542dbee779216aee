"""One request on its way through the endpoint: who asks, who answers, until when, and what the log says of it."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tunewright.serve.errors import ApiError
from tunewright.serve.fleet import Lease
from tunewright.serve.keys import Key
from tunewright.serve.limits import Gate, Ticket
from tunewright.serve.logs import one_line
from tunewright.serve.releases import Release
from tunewright.serve.routing import Choice, caller_hash, choose
from tunewright.traffic.record import Exchange

if TYPE_CHECKING:
    from tunewright.serve.service import Service

PREFIXES = {"chat": "chatcmpl", "completions": "cmpl", "classify": "cls", "explain": "expl"}


@dataclass
class Call:
    """One request. `id` is what the caller gets; each of several answers has a number behind it in the log."""

    service: Service
    endpoint: str
    id: str
    who: str  # what makes the caller stick to a side
    key: Key | None = None
    asked: str = ""
    prompt: str | None = None  # for the log of a request that fails before it has parts
    choice: Choice | None = None
    lease: Lease | None = None
    caller: str | None = None
    shadow_of: str | None = None
    arrived: float = field(default_factory=time.monotonic)
    when: datetime = field(default_factory=lambda: datetime.now(UTC))
    logged: int = 0
    places: list[Ticket] = field(default_factory=list)
    kept: bool = False  # a stream goes on after its route has returned, and closes it

    @property
    def release(self) -> Release:
        assert self.lease is not None
        return self.lease.release

    @property
    def gate(self) -> Gate:
        return self.service.shadow.gate if self.shadow_of is not None else self.service.gate

    @property
    def deadline(self) -> float:
        """On the clock of the event loop."""
        return asyncio.get_running_loop().time() - self.elapsed() + self.service.settings.timeout_seconds

    @property
    def created(self) -> int:
        return int(self.when.timestamp())

    @property
    def headers(self) -> dict[str, str]:
        return {"x-tunewright-version": self.choice.name if self.choice else ""}

    def elapsed(self) -> float:
        return time.monotonic() - self.arrived

    async def route(self, model: str, user: str | None = None) -> None:
        """Find who answers and make sure that it stays loaded until `close`. Raises `ApiError`."""
        self.asked = model
        self.who = f"user:{user}" if user else self.who
        table = self.service.table
        self.choice = choose(table, model, self.who)
        self.caller = caller_hash(table.rollout.salt if table.rollout else table.model, self.who)
        self.lease = await self.service.borrow(self.choice, table)

    async def follow(self, number: int) -> Call:
        """A copy of this call for version `number` in the shadow, holding a place of its own."""
        choice = Choice(self.service.table.name(number), number, "shadow")
        copy = Call(self.service, self.endpoint, new_id(self.endpoint), self.who, self.key, self.asked, choice=choice)
        copy.lease = await self.service.borrow(choice, self.service.table)
        copy.caller, copy.shadow_of = self.caller, self.id
        return copy

    def tickets(self, number: int = 1) -> list[Ticket]:
        """Places in the queue. Raises `ApiError` 429."""
        self.places = self.gate.enter(number)
        return self.places

    def part(self, index: int, parts: int, of: str | None = None) -> str:
        """The id of answer `index` of `parts`."""
        return (of or self.id) if parts == 1 else f"{of or self.id}-{index}"

    def log(self, id: str, status: int, *, shadow_of: str | None = None, **fields: Any) -> None:
        """Hand an exchange to the traffic store; never waits and never fails the answer."""
        self.logged += 1
        release = self.lease.release if self.lease else None
        self.service.log(
            Exchange(
                id=id,
                time=self.when,
                endpoint=self.endpoint,
                model=one_line(self.asked[:200]),
                version=self.choice.name if self.choice else "",
                release=release.release if release else "",
                base=release.base if release else "",
                side=self.choice.side if self.choice else "direct",
                status=status,
                seconds=self.elapsed(),
                key=self.key.id if self.key else None,
                caller=self.caller,
                shadow_of=shadow_of,
                **fields,
            )
        )

    def failed(self, error: ApiError) -> None:
        """Log a request that got nowhere, unless its answers were logged."""
        if not self.logged:
            finish = "cancelled" if error.status == 499 else "error"
            self.log(self.id, error.status, prompt=self.prompt, finish=finish, error=error.code, shadow_of=self.shadow_of)
            self.service.count_failure(self, error.status)

    def labels(self) -> Mapping[str, str]:
        """Of its metrics."""
        choice = self.choice
        return {"model": self.service.table.model, "version": choice.name if choice else "", "side": choice.side if choice else ""}

    def close(self) -> None:
        """Give back the places in the queue and the version; may be called again."""
        for place in self.places:
            place.close()
        if self.lease is not None:
            self.lease.close()


def new_id(endpoint: str) -> str:
    """An id that nobody can guess, with OpenAI's prefixes: chatcmpl-5f0c..."""
    return f"{PREFIXES[endpoint]}-{secrets.token_hex(12)}"
