"""The versions in memory: loaded before anybody is sent to them, forgotten only when nobody uses them any more.

Those that the registry names are pinned; others (`reviews@2`, the base model) are loaded when first asked for, `SPARES` at most.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable

from tunewright.serve.engine import Engine
from tunewright.serve.logs import LOG
from tunewright.serve.releases import Release

SPARES = 2


class Lease:
    """The right to use a version until `close`; it stays loaded as long."""

    def __init__(self, release: Release, end: Callable[[str], None]) -> None:
        self.release, self._end = release, end
        self._open = True

    def close(self) -> None:
        if self._open:
            self._open = False
            self._end(self.release.name)


class Fleet:
    """What the engine holds, and who uses it."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.loaded: dict[str, Release] = {}
        self.pinned: frozenset[str] = frozenset()
        self._uses: Counter[str] = Counter()
        self._lock = asyncio.Lock()
        self._idle = asyncio.Condition()
        self._background: set[asyncio.Future[None]] = set()

    def lease(self, name: str) -> Lease | None:
        """Use `name` from now on; None when it is not loaded."""
        release = self.loaded.get(name)
        if release is None:
            return None
        self.loaded[name] = self.loaded.pop(name)  # the one used last stands last
        self._uses[name] += 1
        return Lease(release, self._end)

    async def load(self, name: str, read: Callable[[], Release]) -> Release:
        """Load `name` unless it is there; `read` checks its files and may take its time. Raises what `read` and the engine raise."""
        async with self._lock:
            if name not in self.loaded:
                release = await asyncio.to_thread(read)
                await self.engine.load(name, release.directory)
                self.loaded[name] = release
                LOG.info("loaded %s (%s)", name, release.status)
            return self.loaded[name]

    async def borrow(self, name: str, read: Callable[[], Release]) -> Lease:
        """Use `name`, loaded now if need be; the spare that was used least recently makes room."""
        found = self.lease(name)
        while found is None:
            await self.load(name, read)
            found = self.lease(name)
        spares = [one for one in self.loaded if one not in self.pinned]
        for one in spares[: max(0, len(spares) - SPARES)]:
            self._later(self._forget(one))
        return found

    def pin(self, names: Iterable[str]) -> None:
        """From now on these serve; what served before is forgotten once its answers have ended."""
        before, self.pinned = self.pinned, frozenset(names)
        for name in before - self.pinned:
            self._later(self._forget(name))

    async def close(self) -> None:
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)

    async def _forget(self, name: str) -> None:
        """Unload `name` when its last user has left, unless it was pinned again by then."""
        async with self._idle:
            await self._idle.wait_for(lambda: not self._uses[name])
        async with self._lock:
            if name in self.pinned or self._uses[name] or self.loaded.pop(name, None) is None:
                return
            await self.engine.unload(name)
            LOG.info("unloaded %s", name)

    def _end(self, name: str) -> None:
        self._uses[name] -= 1
        if not self._uses[name]:
            del self._uses[name]
            self._later(self._tell())

    async def _tell(self) -> None:
        async with self._idle:
            self._idle.notify_all()

    def _later(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._background.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Future[None]) -> None:
        self._background.discard(task)
        if not task.cancelled() and task.exception() is not None:
            LOG.error("a version could not be unloaded", exc_info=task.exception())
