"""What an engine is: the one interface between the endpoint and whatever computes the answers.

The endpoint (`app.py`, `routes/`) checks requests, keys and limits, routes and logs; an engine (`engines/NAME.py`) turns a
`Request` into `Piece`s and texts into label scores. An engine answers for several models at once, each by its own name.

    engine = build("engines", {"name": "embedded"})
    await engine.start(report)
    await engine.load("reviews@3", Path("registry/reviews/versions/3"))
    async for piece in engine.generate(Request("reviews@3", messages=({"role": "user", "content": "Hi"},))):
        print(piece.text, end="")
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tunewright.core.plugins import Part
from tunewright.core.progress import Report
from tunewright.core.score import Floats

Finish = Literal["stop", "length", "tool_calls"]


@dataclass(frozen=True)
class Sampling:
    """How to choose tokens; names and meanings are those of OpenAI's API."""

    max_tokens: int | None = None  # None: as many as the context has room for
    temperature: float = 1.0  # 0 takes the likeliest token each time
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    seed: int | None = None
    logprobs: int | None = None  # number of likeliest alternatives told for each token; None tells nothing
    schema: Mapping[str, Any] | None = None  # JSON schema that the answer obeys; {} is any JSON object
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0


@dataclass(frozen=True)
class Request:
    """One answer that is wanted from `model`: either `messages` (through the chat template) or a plain `prompt` (text or token ids)."""

    model: str
    messages: tuple[Mapping[str, Any], ...] | None = None
    prompt: str | tuple[int, ...] | None = None
    sampling: Sampling = field(default_factory=Sampling)
    tools: tuple[Mapping[str, Any], ...] = ()
    required: tuple[str, ...] = ()  # names of tools one of which has to be called; () leaves it to the model
    echo: bool = False  # completions only: the prompt's own tokens come first, with their log-probabilities when `logprobs` is set


@dataclass(frozen=True)
class TokenScore:
    """A token, its natural-log probability (None for a prompt's first token) and its likeliest alternatives."""

    text: str
    id: int
    logprob: float | None
    top: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class CallPart:
    """A part of the model's call of a tool. The first one of each `index` has `id` and `name`; `arguments` of all together are JSON."""

    index: int
    arguments: str
    id: str | None = None
    name: str | None = None


@dataclass(frozen=True)
class Usage:
    """Tokens of a request; `cached_tokens` of the prompt came from the prefix cache. The log takes the rest, where the engine knows it."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0
    mean_logprob: float | None = None  # of the answer's tokens, natural log; also when the caller wanted no `logprobs`
    queue_seconds: float | None = None  # before the engine began with the prompt


@dataclass(frozen=True)
class Scores:
    """Of n texts and the c labels of a release. `prompt_tokens`: of each prompt as the model saw it; `truncated`: its text was cut to fit."""

    log_likelihood: Floats  # (n, c), of each label as the answer; labels as in the manifest's `prompt.answers`
    prompt_tokens: tuple[int, ...]
    truncated: tuple[bool, ...]
    cached_tokens: int = 0


@dataclass(frozen=True)
class Piece:
    """The next part of an answer. The last one has `finish` and `usage`."""

    text: str
    tokens: tuple[TokenScore, ...] = ()
    finish: Finish | None = None
    usage: Usage | None = None
    calls: tuple[CallPart, ...] = ()


class EngineError(Exception):
    """The engine cannot answer: `status` and `code` are what the endpoint tells its caller. A caller's mistake is 4xx."""

    def __init__(self, message: str, status: int = 500, code: str = "engine_error") -> None:
        super().__init__(message)
        self.status, self.code = status, code


class Engine(Part):
    """Computes answers for the endpoint. All methods run in one event loop; none blocks it."""

    @abstractmethod
    async def start(self, report: Report) -> None:
        """Get ready; raises `TunewrightError` when that is impossible."""

    @abstractmethod
    async def load(self, name: str, release: Path) -> None:
        """Serve the release in `release` as `name` from now on, while others go on answering. A base model is given as its own directory."""

    @abstractmethod
    async def unload(self, name: str) -> None:
        """Forget `name`, after the answers under way for it have ended."""

    @abstractmethod
    def generate(self, request: Request) -> AsyncIterator[Piece]:
        """The answer, piece by piece. Closing the iterator cancels the work. Raises `EngineError`, before the first piece if it can."""

    @abstractmethod
    async def score(self, model: str, texts: Sequence[str]) -> Scores:
        """Score each label of the release `model` as the answer to each text. Raises `EngineError` (400) when it has no labels."""

    @abstractmethod
    async def stop(self) -> None:
        """End answers under way and free everything."""

    @abstractmethod
    def load_now(self) -> dict[str, float]:
        """Gauges for /metrics: requests_running, requests_waiting, kv_cache_usage, prefix_cache_hit_rate; what an engine does not know is left out."""
