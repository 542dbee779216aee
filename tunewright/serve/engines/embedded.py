"""The embedded engine: answers by PyTorch in this process, many requests at once. How it works is told in `serve/embedded/`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field, PrivateAttr

from tunewright.core.progress import Report
from tunewright.serve.engine import Engine, EngineError, Piece, Request, Scores

if TYPE_CHECKING:
    from tunewright.serve.embedded.core import Core


class Embedded(Engine):
    """Runs the models in this process with PyTorch. Requests for one base model and all its adapters share each step."""

    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto takes CUDA where there is one")
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="of weights and cache; auto is float32 on a processor, bfloat16 on CUDA"
    )
    quantise: Literal["none", "int8", "auto"] = Field(
        "none", description="int8 weights on a processor; auto where the release's own rows show that answers stay and it is faster"
    )
    agreement: float = Field(
        0.98, gt=0, le=1, description="share of the release's rows on which quantise: auto must answer as float32 does"
    )
    threads: int | None = Field(
        None, ge=1, description="processor threads of PyTorch; null takes a thread a core. Set it when several processes share a machine"
    )
    max_rows: int = Field(32, ge=1, le=1024, description="answers that are generated at once; more wait")
    context: int | None = Field(None, ge=16, description="tokens of prompt and answer together at most; null takes the model's own limit")
    prefill_tokens: int = Field(128, ge=16, description="tokens of prompts that are read in one step while others decode")
    stream_seconds: float = Field(
        0.15, ge=0, le=2, description="tokens after the first are streamed in pieces, one every so often at most; 0 streams each token"
    )
    score_rows: int = Field(32, ge=1, description="texts that are classified in one pass at most")
    kv_gb: float = Field(4.0, gt=0, description="memory for keys and values of answers under way, of each base model")
    prefix_gb: float = Field(1.0, ge=0, description="memory for keys and values of prompts that may come again; 0 keeps none")

    _core: Core | None = PrivateAttr(None)

    async def start(self, report: Report) -> None:
        from tunewright.serve.embedded.core import Core

        self._core = Core(self, report)

    async def load(self, name: str, release: Path) -> None:
        await self._running().load(name, release)

    async def unload(self, name: str) -> None:
        await self._running().unload(name)

    async def generate(self, request: Request) -> AsyncIterator[Piece]:
        core = self._running()
        calls = None
        if request.tools:
            from tunewright.serve.embedded.calls import Calls, schema_of

            calls = Calls([one["function"]["name"] for one in request.tools])
            if request.required:
                request = replace(request, sampling=replace(request.sampling, schema=schema_of(request.tools, request.required)))
        served = core.enter(request.model)
        row = None
        told: asyncio.Queue[Piece | Exception] = asyncio.Queue()
        try:
            row = await core.row(served, request, told.put_nowait)
            while True:
                piece = await told.get()
                if isinstance(piece, Exception):
                    raise piece
                for one in (piece,) if calls is None else calls.take(piece):
                    yield one
                if piece.finish is not None:
                    return
        finally:
            if row is not None:
                row.cancelled = True
            core.leave(served)

    async def score(self, model: str, texts: Sequence[str]) -> Scores:
        core = self._running()
        served = core.enter(model)
        try:
            return await core.score(served, texts)
        finally:
            core.leave(served)

    async def stop(self) -> None:
        if self._core is not None:
            core, self._core = self._core, None
            await core.stop()

    def load_now(self) -> dict[str, float]:
        return self._core.load_now() if self._core is not None else {}

    def _running(self) -> Core:
        if self._core is None:
            raise EngineError("The engine is not running.", 503, "engine_stopped")
        return self._core
