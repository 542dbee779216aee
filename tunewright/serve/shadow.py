"""Copies of requests for a challenger that nobody sees: in the background, one at a time, never in the caller's way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from tunewright.serve.answers import Part, answer_all, parts_of
from tunewright.serve.call import Call
from tunewright.serve.errors import ApiError
from tunewright.serve.labels import classify
from tunewright.serve.limits import Gate
from tunewright.serve.logs import LOG

if TYPE_CHECKING:
    from tunewright.serve.service import Service


class Shadow:
    """The queue of copies. One that finds it full, or whose challenger is no longer in the shadow, is left out and counted."""

    def __init__(self, service: Service, size: int) -> None:
        self.service, self.size = service, size
        self.gate = Gate(1_000_000)
        self._queue: asyncio.Queue[tuple[Call, int, Callable[[Call], Awaitable[object]]]] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._work())

    async def stop(self) -> None:
        """Copies that wait are left out: nobody is waiting for them."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def answer(self, call: Call, parts: list[Part]) -> None:
        """Let the challenger of `call` answer the same."""

        async def again(copy: Call) -> None:
            requests = [replace(part.request, model=copy.release.name) for part in parts]
            await answer_all(copy, parts_of(copy, requests, [part.prompt for part in parts]))

        self._put(call, again)

    def classify(self, call: Call, texts: list[str]) -> None:
        """Let the challenger of `call` classify the same."""
        self._put(call, lambda copy: classify(copy, texts))

    def _put(self, call: Call, again: Callable[[Call], Awaitable[object]]) -> None:
        number = call.choice.shadow if call.choice else None
        if number is None:
            return
        if self._queue.qsize() >= self.size:
            self._leave_out(number)
            return
        self._queue.put_nowait((call, number, again))

    def _leave_out(self, number: int) -> None:
        self.service.metrics.shadow_left_out.labels(self.service.table.name(number)).inc()

    def _wanted(self, number: int) -> bool:
        """Whether the version is still in the shadow: it may have got callers, or been turned down, while its copies waited."""
        now = self.service.table.rollout
        return now is not None and (now.mode, now.challenger) == ("shadow", number)

    async def _work(self) -> None:
        while True:
            call, number, again = await self._queue.get()
            if not self._wanted(number):
                self._leave_out(number)
                continue
            copy = None
            try:
                copy = await call.follow(number)
                await again(copy)
            except ApiError as error:
                LOG.info("%s: the challenger failed in the shadow: %s", call.id, error.message)
            except Exception:
                LOG.exception("%s: the copy for the challenger failed", call.id)
            finally:
                if copy is not None:
                    copy.close()
