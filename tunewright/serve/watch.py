"""Looks twice a second whether the registry or the keys have changed, and follows without a request being lost."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tunewright.core.errors import TunewrightError
from tunewright.serve.logs import LOG

if TYPE_CHECKING:
    from tunewright.serve.service import Service

SECONDS = 0.5
AGAIN_SECONDS = 30.0  # before another attempt at a version that could not be loaded


class Watch:
    """A task in the background. A file that cannot be read leaves everything as it is, and is told once."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._task: asyncio.Task[None] | None = None
        self._told: dict[str, str] = {}
        self._seen = service.table.revision
        self._retry_at: float | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def look(self) -> None:
        """One look at both files."""
        service = self.service
        try:
            if service.keyring.refresh():
                service.rates.forget({key.id for key in service.keyring.keys})
                LOG.info("read %d API keys", len(service.keyring.keys))
            self._told.pop("keys", None)
        except TunewrightError as error:
            self._tell("keys", f"the keys stay as they were: {error}")
        if service.target.registry is None:
            return
        try:
            table = service.target.table()
            self._told.pop("registry", None)
        except TunewrightError as error:
            self._tell("registry", f"the versions stay as they were: {error}")
            return
        now = asyncio.get_running_loop().time()
        if table.revision == self._seen and not (self._retry_at is not None and now >= self._retry_at):
            return
        self._seen = table.revision
        whole = await service.follow(table)
        self._retry_at = None if whole else now + AGAIN_SECONDS
        service.metrics.reloads.labels("done" if whole else "failed").inc()
        LOG.info("registry revision %d: champion %s, challenger %s", table.revision, service.table.champion, service.table.challenger)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(SECONDS)
            try:
                await self.look()
            except Exception:
                LOG.exception("the registry could not be followed")

    def _tell(self, what: str, message: str) -> None:
        if self._told.get(what) != message:
            self._told[what] = message
            LOG.error(message)
