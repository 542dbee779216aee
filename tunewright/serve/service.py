"""The endpoint's insides: engine, versions, queue, keys, traffic and metrics, from the start of the app to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from tunewright.core.errors import RunError, TunewrightError
from tunewright.core.loop import ServeSettings
from tunewright.core.plugins import build
from tunewright.core.progress import Report
from tunewright.serve.answers import Answer
from tunewright.serve.call import Call
from tunewright.serve.engine import Engine, Scores
from tunewright.serve.errors import ApiError
from tunewright.serve.fleet import Fleet, Lease
from tunewright.serve.keys import Keyring
from tunewright.serve.limits import Gate, Rates
from tunewright.serve.logs import LOG
from tunewright.serve.metrics import Metrics
from tunewright.serve.routing import Choice, Table
from tunewright.serve.shadow import Shadow
from tunewright.serve.target import Target, find_target
from tunewright.serve.watch import Watch
from tunewright.serve.watched import Watched
from tunewright.traffic.record import Exchange, Feedback


@dataclass(frozen=True)
class Setup:
    """All that an app is made from. It holds plain values, so a launcher can send it to another process."""

    target: str
    registry: str | None = None
    overrides: tuple[str, ...] = ()
    keys_file: Path | None = None
    needs_key: bool = True  # False: as long as there is no key, none is asked for (only on loopback)
    hosts: tuple[str, ...] = ()  # names that the Host header may have while no key is asked for; () for any
    base_dir: Path = field(default_factory=Path.cwd)  # what the file of an SQLite traffic store is relative to
    quiet: bool = False

    def find(self) -> Target:
        return find_target(self.target, self.registry)


class Service:
    """What all requests share. `start` and `stop` belong to the app's lifespan."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.target = setup.find()
        self.settings: ServeSettings = self.target.settings(setup.overrides)
        self.table: Table = self.target.table()
        self.engine: Engine = build("engines", self.settings.engine)
        self.fleet = Fleet(self.engine)
        self.gate, self.rates = Gate(self.settings.queue), Rates()
        self.metrics, self.shadow = Metrics(), Shadow(self, self.settings.shadow_queue)
        self.keyring = Keyring(setup.keys_file, setup.needs_key)
        self.draining = self.ready = False
        self.in_flight = 0
        self._watch, self._watched = Watch(self), Watched(self.metrics.registry)
        self._store: Any = None
        self._traffic: Any = None

    async def start(self) -> None:
        """Load what serves now. Raises `TunewrightError` when nobody can answer."""
        from tunewright.traffic.store import TrafficStore

        store = await asyncio.to_thread(TrafficStore.open, self.settings.traffic, base_dir=self.setup.base_dir)
        self._store, self._traffic = store, store.writer()
        try:
            if self.table.champion is None and self.target.base is None:
                raise RunError(
                    f"{self.table.model} has no champion yet, so nobody could be answered. `tunewright promote` makes a version one."
                )
            await self.engine.start(Report(quiet=self.setup.quiet))
            await self.follow(self.table)
        except BaseException:
            await self.stop()
            raise
        self.shadow.start()
        self._watch.start()
        self._watched.start(store, lambda: [*self.fleet.loaded, self.table.model])
        self.ready = True

    async def stop(self) -> None:
        """Give everything back; what was logged is stored first."""
        self.ready = False
        await self._watch.stop()
        await self._watched.stop()
        await self.shadow.stop()
        await self.fleet.close()
        await self.engine.stop()
        if self._traffic is not None:
            await asyncio.to_thread(self._traffic.close)
            self._store.close()

    async def follow(self, table: Table) -> bool:
        """Load what `table` names, then send requests there. Whether all of it could be loaded; what could not is left as it was."""
        wanted = {"champion": table.champion, "challenger": table.challenger}
        failed: dict[str, BaseException] = {}
        for role, number in wanted.items():
            if number is None:
                continue
            try:
                await self.fleet.load(table.name(number), partial(self.target.read, number, table))
            except TunewrightError as error:
                failed[role] = error
                LOG.error("%s %s cannot be served: %s", role, table.name(number), error)
            except Exception as error:
                failed[role] = error
                LOG.exception("%s %s cannot be served", role, table.name(number))
        if table.champion is None and table.base is not None and self.target.base is not None:
            await self.fleet.load(table.base, partial(self.target.read, None, table))
        if "champion" in failed:
            if self.ready:
                return False
            fault = failed["champion"]
            raise fault if isinstance(fault, TunewrightError) else RunError(f"{table.name(table.champion or 0)} cannot be loaded: {fault}")
        if "challenger" in failed:
            table = _without_challenger(table)
        self.table = table
        names = [table.name(number) for number in (table.champion, table.challenger) if number is not None]
        self.fleet.pin([*names, *([table.base] if self.target.base is not None and table.base else [])])
        self._show(table)
        return not failed

    async def borrow(self, choice: Choice, table: Table) -> Lease:
        """Use the version of `choice`, loaded first if need be. Raises `ApiError` 503 when it cannot be loaded."""
        found = self.fleet.lease(choice.name)
        if found is not None:
            return found
        try:
            return await self.fleet.borrow(choice.name, partial(self.target.read, choice.version, table))
        except Exception as error:
            LOG.error("%s cannot be loaded: %s", choice.name, error)
            raise ApiError(503, f"{choice.name} cannot be loaded now. The server's log says why.", "model_unavailable") from error

    def log(self, exchange: Exchange) -> None:
        """Hand an exchange to the traffic store."""
        if self._traffic is not None:
            self._traffic.log(exchange)

    def feedback(self, given: Sequence[Feedback]) -> None:
        """Hand feedback to the traffic store."""
        for one in given:
            self._traffic.feedback(one)
            self.metrics.feedback.labels(one.kind).inc()

    def count_answer(self, call: Call, answer: Answer) -> None:
        """Metrics of a finished answer."""
        who, metrics, usage, seconds = call.labels(), self.metrics, answer.usage, call.elapsed()
        metrics.success.labels(**who, finished_reason=answer.finish).inc()
        metrics.latency.labels(**who).observe(seconds)
        if answer.first_seconds is not None:
            metrics.first_token.labels(**who).observe(answer.first_seconds)
        if usage is None:
            return
        self._count_tokens(who, usage.prompt_tokens, usage.cached_tokens)
        metrics.generation_tokens.labels(**who).inc(usage.completion_tokens)
        metrics.answer_size.labels(**who).observe(usage.completion_tokens)
        if usage.queue_seconds is not None:
            metrics.queue.labels(**who).observe(usage.queue_seconds)
        if usage.completion_tokens > 1 and answer.first_seconds is not None:
            metrics.per_token.labels(**who).observe((seconds - answer.first_seconds) / (usage.completion_tokens - 1))

    def count_scores(self, call: Call, scores: Scores) -> None:
        """Metrics of classified texts."""
        who = call.labels()
        self.metrics.success.labels(**who, finished_reason="stop").inc(len(scores.prompt_tokens))
        self.metrics.latency.labels(**who).observe(call.elapsed())
        for tokens in scores.prompt_tokens:
            self._count_tokens(who, tokens, 0)
        self.metrics.cached_tokens.labels(**who).inc(scores.cached_tokens)

    def count_failure(self, call: Call, status: int) -> None:
        self.metrics.failure.labels(**call.labels(), status=str(status)).inc()

    def page(self) -> bytes:
        """The text of /metrics."""
        if self._traffic is not None:
            self.metrics.traffic_lost.set(self._traffic.stats()["dropped"])
        return self.metrics.show(self.engine.load_now(), self.gate.running, self.gate.waiting)

    def _count_tokens(self, who: Any, prompt: int, cached: int) -> None:
        self.metrics.prompt_tokens.labels(**who).inc(prompt)
        self.metrics.prompt_size.labels(**who).observe(prompt)
        self.metrics.cached_tokens.labels(**who).inc(cached)

    def _show(self, table: Table) -> None:
        """Gauges of what is loaded and who answers."""
        self.metrics.loaded.clear()
        for name in self.fleet.loaded:
            self.metrics.loaded.labels(table.model, name).set(1)
        self.metrics.alias.clear()
        for alias, number in (("champion", table.champion), ("challenger", table.challenger)):
            if number is not None:
                self.metrics.alias.labels(table.model, alias).set(number)
        self.metrics.rollout.labels(table.model).set(table.rollout.share if table.rollout and table.rollout.mode == "canary" else 0)


def _without_challenger(table: Table) -> Table:
    """`table` with the champion alone."""
    return replace(table, challenger=None, rollout=None)
