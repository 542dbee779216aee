"""The thread that owns every model: between two steps it takes commands, then runs a step of each base model in turn.

Nothing but this thread runs a model that is in service. The event loop hands it functions (`do` waits for the result, `post` does
not) and gets pieces of answers back, one call into the loop a step.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

import torch

from tunewright.serve.engine import EngineError

T = TypeVar("T")


class Worker:
    """Runs `turn` again and again as long as it returns True, and what is posted in between. Created in the event loop."""

    def __init__(self, threads: int | None, turn: Callable[[], bool]) -> None:
        self._loop = asyncio.get_running_loop()
        self._inbox: deque[Callable[[], None]] = deque()
        self._outbox: list[Callable[[], None]] = []
        self._wake = threading.Condition()
        self._turn, self._threads, self._ending = turn, threads, False
        self._thread = threading.Thread(target=self._run, name="tunewright-engine", daemon=True)
        self._thread.start()

    def post(self, command: Callable[[], None]) -> None:
        """Run `command` in the thread soon. It must not raise."""
        with self._wake:
            if self._ending:
                raise EngineError("The engine is stopping.", 503, "engine_stopped")
            self._inbox.append(command)
            self._wake.notify()

    async def do(self, function: Callable[[], T]) -> T:
        """The result of `function`, run in the thread between two steps."""
        done: asyncio.Future[T] = self._loop.create_future()

        def command() -> None:
            try:
                result = function()
            except Exception as error:
                self.answer(_settle(done, error=error))
            else:
                self.answer(_settle(done, result))

        self.post(command)
        return await done

    def answer(self, call: Callable[[], None]) -> None:
        """From the thread: run `call` in the event loop after this step."""
        self._outbox.append(call)

    async def stop(self) -> None:
        with self._wake:
            self._ending = True
            self._wake.notify()
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        if self._threads is not None:
            torch.set_num_threads(self._threads)
        busy = False
        while True:
            with self._wake:
                while not self._inbox and not busy and not self._ending:
                    self._wake.wait()
                commands, ending = list(self._inbox), self._ending
                self._inbox.clear()
            for command in commands:
                command()
            if not ending:
                busy = self._turn()
            self._send()
            if ending:
                return

    def _send(self) -> None:
        if not self._outbox:
            return
        calls, self._outbox = self._outbox, []

        def all_of_them() -> None:
            for call in calls:
                call()

        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(all_of_them)


async def apart(function: Callable[..., T], *arguments: Any) -> T:
    """The result of `function` in a thread that ends with it.

    A thread that has run PyTorch keeps a pool of OpenMP threads for as long as it lives. When there are more of them than cores, all
    pools sleep between two operations instead of waiting awake, and a step takes half as long again. So the threads of
    `asyncio.to_thread`, which live on, must not run any model.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def run() -> None:
        try:
            settle = _settle(done, function(*arguments))
        except BaseException as error:
            settle = _settle(done, error=error)
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle)

    threading.Thread(target=run, name="tunewright-load", daemon=True).start()
    return await done


def _settle(done: asyncio.Future[Any], result: Any = None, error: BaseException | None = None) -> Callable[[], None]:
    def settle() -> None:
        if not done.done():
            if error is None:
                done.set_result(result)
            else:
                done.set_exception(error)

    return settle
