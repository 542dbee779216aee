"""A real engine without a model, for tests of the endpoint: words from a list, label scores from the words of a text."""

from __future__ import annotations

import asyncio
import json
import random
import zlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field, PrivateAttr

from tunewright.core.files import read_json
from tunewright.core.progress import Report
from tunewright.serve.engine import Engine, EngineError, Piece, Request, Scores, TokenScore, Usage

VOCABULARY = ["the", "battery", "screen", "is", "bright", "and", "lasts", "all", "day", "I", "love", "it", "but", "broke"]
GOOD, BAD = {"love", "bright", "great"}, {"broke", "worst", "dull"}


class Words(Engine):
    """Says words. A text with `boom` in it makes it fail, one with `refuse` is a caller's mistake, one with `hang` never ends."""

    seconds_a_token: float = Field(0.0, ge=0, description="how slow it is")
    slots: int = Field(64, ge=1, description="answers at a time; others wait")
    context: int = Field(100_000, ge=1, description="longest prompt in words")
    load_seconds: float = Field(0.0, ge=0, description="how long a version takes to load")
    _labels: dict[str, list[str]] = PrivateAttr(default_factory=dict)
    _free: asyncio.Semaphore = PrivateAttr()
    _asked: list[Request] = PrivateAttr(default_factory=list)
    _cancelled: list[str] = PrivateAttr(default_factory=list)
    _unloaded: list[str] = PrivateAttr(default_factory=list)
    _running: int = PrivateAttr(default=0)

    async def start(self, report: Report) -> None:
        self._free = asyncio.Semaphore(self.slots)

    async def load(self, name: str, release: Path) -> None:
        await asyncio.sleep(self.load_seconds)
        manifest = release / "manifest.json"
        if (release / "broken").exists():
            raise EngineError("the weights are broken")
        self._labels[name] = list(read_json(manifest)["prompt"]["answers"]) if manifest.exists() else []

    async def unload(self, name: str) -> None:
        del self._labels[name]
        self._unloaded.append(name)

    async def generate(self, request: Request) -> AsyncIterator[Piece]:
        if request.model not in self._labels:
            raise EngineError(f"{request.model} is not loaded", 404, "model_not_found")
        self._asked.append(request)
        del self._asked[:-100], self._cancelled[:-100], self._unloaded[:-100]  # a soak shall see the endpoint's memory, not this list's
        text = prompt_of(request)
        words = text.split()
        if "refuse" in words:
            raise EngineError("This prompt is refused.", 400, "refused")
        if len(words) > self.context:
            raise EngineError(f"at most {self.context} tokens", 400, "context_length_exceeded")
        async with self._free:
            self._running += 1
            try:
                async for piece in self._say(request, text, words):
                    yield piece
            except (asyncio.CancelledError, GeneratorExit):
                self._cancelled.append(text)
                raise
            finally:
                self._running -= 1

    async def _say(self, request: Request, text: str, words: list[str]) -> AsyncIterator[Piece]:
        sampling = request.sampling
        told = sampling.logprobs
        if "boom" in words:
            raise RuntimeError("boom\nforged line")
        if request.echo:
            scores = tuple(token(word, None if at == 0 else -1.0 - len(word) / 10, told) for at, word in enumerate(words))
            yield Piece(text, scores if told is not None else ())
        most = 16 if sampling.max_tokens is None else sampling.max_tokens
        made = list(answer_of(request, text))[:most]
        count, said = 0, ""
        finish = "stop" if len(made) < most or sampling.schema is not None else "length"
        for word in made:
            if self.seconds_a_token:
                await asyncio.sleep(self.seconds_a_token)
            piece = word if not said else f" {word}"
            at = min((found for found in ((said + piece).find(stop) for stop in sampling.stop) if found >= 0), default=-1)
            if at >= 0:
                rest = (said + piece)[len(said) : at] if at > len(said) else ""
                if rest:
                    yield Piece(rest)
                finish = "stop"
                break
            said, count = said + piece, count + 1
            yield Piece(piece, (token(piece, -0.5, told),) if told is not None else ())
        while "hang" in words:
            await asyncio.sleep(0.05)
        yield Piece(
            "", finish=finish, usage=Usage(len(words), count, cached_tokens=min(1, len(words)), mean_logprob=-0.5, queue_seconds=0.0)
        )

    async def score(self, model: str, texts: Sequence[str]) -> Scores:
        labels = self._labels[model]
        if any("boom" in text.split() for text in texts):
            raise RuntimeError("boom")
        while any("hang" in text.split() for text in texts):
            await asyncio.sleep(0.05)
        await asyncio.sleep(self.seconds_a_token)
        found = np.array([[_score(text, label) for label in labels] for text in texts])
        return Scores(found, tuple(len(text.split()) for text in texts), tuple(len(text) > 2000 for text in texts), 3)

    async def stop(self) -> None:
        self._labels.clear()

    def load_now(self) -> dict[str, float]:
        return {"kv_cache_usage": 0.25}


def prompt_of(request: Request) -> str:
    if request.messages is not None:
        return "\n".join(str(one["content"]) for one in request.messages)
    return request.prompt if isinstance(request.prompt, str) else " ".join(map(str, request.prompt or ()))


def answer_of(request: Request, text: str) -> list[str]:
    """The words of the answer: always the same at temperature 0 or with one seed."""
    if request.sampling.schema is not None:
        return [json.dumps({"answer": "yes", "words": len(text.split())})]
    if "say" in text.split():
        return text.split("say", 1)[1].split()
    sampling: Any = request.sampling
    seed = 0 if sampling.temperature == 0 else sampling.seed if sampling.seed is not None else random.getrandbits(32)
    dice = random.Random(f"{zlib.crc32(text.encode())}-{seed}")
    return [dice.choice(VOCABULARY) for _ in range(40)]


def token(text: str, logprob: float | None, top: int | None) -> TokenScore:
    others = tuple((word, logprob - place) for place, word in enumerate([text, *VOCABULARY][: top or 0])) if logprob is not None else ()
    return TokenScore(text, zlib.crc32(text.encode()) % 1000, logprob, others)


def _score(text: str, label: str) -> float:
    words = {word.strip(".,!").casefold() for word in text.split()}
    return {"positive": 2.0 * len(words & GOOD), "negative": 2.0 * len(words & BAD)}.get(label, 0.5) - 3.0
