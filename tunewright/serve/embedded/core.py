"""What the embedded engine does behind its interface: names and their users in the event loop, models and rows in the worker thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from tunewright.core.errors import EnvironmentProblem
from tunewright.core.progress import Report
from tunewright.serve.embedded import batch, precision, store
from tunewright.serve.embedded.batch import Batch, Row
from tunewright.serve.embedded.cache import PrefixCache
from tunewright.serve.embedded.quantise import PLANS
from tunewright.serve.embedded.sampling import Chooser
from tunewright.serve.embedded.scoring import Call, Scorer
from tunewright.serve.embedded.served import Served
from tunewright.serve.embedded.store import Found, Home
from tunewright.serve.embedded.teller import Teller
from tunewright.serve.embedded.text import Text
from tunewright.serve.embedded.weights import Place
from tunewright.serve.embedded.worker import Worker, apart
from tunewright.serve.engine import EngineError, Piece, Request, Scores

if TYPE_CHECKING:
    from tunewright.serve.engines.embedded import Embedded

GB = 10**9
TEXT_TOKENS = 32  # of a text, about: while answers are written, scoring takes turns as short as reading a prompt does
LONG = 20_000  # characters: longer prompts are turned into tokens outside the event loop


class Core:
    """A running engine. Public methods run in the event loop."""

    def __init__(self, settings: Embedded, report: Report) -> None:
        self.settings, self.report = settings, report
        self.place = Place.of(settings.device, settings.dtype)
        if settings.quantise != "none" and (self.place.device.type != "cpu" or self.place.dtype != torch.float32):
            raise EnvironmentProblem(
                f"serve.engine.quantise: {settings.quantise} is for float32 on a processor, but models run in {self.place.dtype} on"
                f" {self.place.device} here. Set device: cpu and dtype: float32, or quantise: none."
            )
        self.prefixes = PrefixCache(int(settings.prefix_gb * GB))
        self.scorer = Scorer(settings.score_rows)
        self.homes: dict[str, Home] = {}
        self.served: dict[str, Served] = {}
        self._loading = asyncio.Lock()
        self.worker = Worker(settings.threads, self._turn)

    def enter(self, name: str) -> Served:
        """Count one more user of `name`. Raises `EngineError` 404."""
        served = self.served.get(name)
        if served is None:
            raise EngineError(f"The model {name!r} is not served here.", 404, "model_not_found")
        served.users += 1
        return served

    def leave(self, served: Served) -> None:
        served.users -= 1
        if served.closed and served.users == 0:
            served.idle.set()

    async def row(self, served: Served, request: Request, tell: Callable[[Piece | Exception], None]) -> Row:
        """Put the request among the waiting. Raises `EngineError` when it cannot be answered."""
        sampling = request.sampling
        long = _characters(request) > LONG
        tokens = await asyncio.to_thread(served.tokens, request) if long else served.tokens(request)
        grammar = None
        if sampling.schema is not None:
            schema = sampling.schema
            grammar = await asyncio.to_thread(lambda: served.grammars.grammar(schema))
        room = served.context - len(tokens)
        most = room if sampling.max_tokens is None else min(sampling.max_tokens, room)
        send = self.worker.answer
        teller = Teller(lambda piece: send(lambda: tell(piece)), self.settings.stream_seconds)
        row = Row(served, tokens, most, Chooser(sampling, grammar), Text(served.tokenizer, sampling.stop), teller, request.echo)
        home = self.homes[served.weights.key]
        self.worker.post(lambda: home.batch.add(row))
        return row

    async def score(self, served: Served, texts: Sequence[str]) -> Scores:
        if served.format is None:
            raise EngineError(f"{served.name} has no labels: it is not a release of a classifier.", 400, "no_labels")
        done: asyncio.Future[Scores] = asyncio.get_running_loop().create_future()

        def tell(result: Scores | Exception) -> None:
            def settle() -> None:
                if done.done():
                    return
                if isinstance(result, Exception):
                    done.set_exception(_as_engine_error(result))
                else:
                    done.set_result(result)

            self.worker.answer(settle)

        call = Call(served, tuple(texts), tell)
        self.worker.post(lambda: self.scorer.add(call))
        try:
            return await done
        finally:
            call.cancelled = True

    async def load(self, name: str, directory: Path) -> None:
        async with self._loading:
            found = await apart(store.look, directory)
            home = await self._home(name, found)
            try:
                served, hang = await apart(store.describe, name, found, home.weights, self.settings.context)
                await self.worker.do(hang)
            except BaseException:
                self._forget(home)
                raise
            home.names.append(name)
            old, self.served[name] = self.served.get(name), served
        if old is not None:
            await self._retire(old)

    async def unload(self, name: str) -> None:
        served = self.served.pop(name, None)
        if served is None:
            raise EngineError(f"The model {name!r} is not served here.", 404, "model_not_found")
        await self._retire(served)

    async def stop(self) -> None:
        """Answers under way end with an error; the thread ends; memory is free once nobody holds this."""
        gone = EngineError("The engine is stopping.", 503, "engine_stopped")

        def end() -> None:
            for home in self.homes.values():
                home.batch.fail(gone)
            self.scorer.fail(gone)

        await self.worker.do(end)
        await self.worker.stop()
        self.served.clear()
        self.homes.clear()
        self.prefixes.forget()

    def load_now(self) -> dict[str, float]:
        batches = [home.batch for home in list(self.homes.values())]
        budget = self.settings.kv_gb * GB * max(1, len(batches))
        return {
            "requests_running": float(batch.running(batches)),
            "requests_waiting": float(batch.waiting(batches) + len(self.scorer.waiting)),
            "kv_cache_usage": sum(one.kv_bytes for one in batches) / budget,
            "prefix_cache_hit_rate": self.prefixes.found / max(1, self.prefixes.asked),
        }

    async def _home(self, name: str, found: Found) -> Home:
        """The weights that `found` needs: those that are here, or read now."""
        keep = await apart(self._numbers, name, found)
        key = precision.key_of(found, keep)
        if key not in self.homes:
            weights = await apart(store.read_weights, found, self.place, key, keep)
            limits = self.settings.max_rows, int(self.settings.kv_gb * GB), self.settings.prefill_tokens
            self.homes[key] = Home(weights, Batch(weights, self.prefixes, *limits))
        return self.homes[key]

    def _numbers(self, name: str, found: Found) -> tuple[str, ...] | None:
        """Which layers stay float32 beside int8 ones; None for no int8."""
        if self.settings.quantise == "auto":
            return precision.choose(name, found, self.place, self.settings.agreement, self.report.say)
        return PLANS[0] if self.settings.quantise == "int8" else None

    async def _retire(self, served: Served) -> None:
        """Wait until nobody uses it, then take it off its weights, and these out of memory when they were the last name's."""
        served.closed = True
        if served.users:
            await served.idle.wait()
        home = self.homes.get(served.weights.key)
        if home is None:  # the engine was stopped meanwhile
            return

        def off() -> None:
            store.take_off(served)
            self.scorer.forget(served.mark)

        await self.worker.do(off)
        home.names.remove(served.name)
        self._forget(home)

    def _forget(self, home: Home) -> None:
        """Let weights go that no name needs."""
        if not home.names:
            self.homes.pop(home.weights.key, None)

    def _turn(self) -> bool:
        """One step of each base model, and one pass of scoring, in the worker thread."""
        worked = False
        for home in list(self.homes.values()):
            try:
                worked |= home.batch.step()
            except Exception as error:
                self.report.say(f"engine: a step failed, its answers end: {type(error).__name__}: {error}")
                home.batch.fail(_as_engine_error(error))
        busy = any(home.batch.decoding for home in list(self.homes.values()))
        return self.scorer.turn(max(1, self.settings.prefill_tokens // TEXT_TOKENS) if busy else None) or worked


def _characters(request: Request) -> int:
    if request.messages is not None:
        return sum(len(str(one.get("content"))) for one in request.messages)
    return len(request.prompt or ())


def _as_engine_error(error: Exception) -> EngineError:
    if isinstance(error, EngineError):
        return error
    return EngineError(f"The engine failed: {type(error).__name__}: {error}", 500, "engine_error")
