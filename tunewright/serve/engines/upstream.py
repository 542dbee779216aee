"""The upstream engine: passes requests on to any OpenAI-compatible server, such as vLLM, llama.cpp or Ollama. Parts in `serve/remote/`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, PrivateAttr

from tunewright.core.files import read_json
from tunewright.core.progress import Report
from tunewright.serve.engine import Engine, EngineError, Piece, Request, Scores

if TYPE_CHECKING:
    from tunewright.models.chat import ChatFormat
    from tunewright.serve.remote.client import Client


class Upstream(Engine):
    """Another server computes; this one adds routing, calibrated labels, keys, limits, the traffic log and metrics."""

    url: str = Field(description="of the API, /v1 included: http://127.0.0.1:8001/v1; ${NAME} is taken from the environment")
    api_key: str | None = Field(None, pattern=r"^\$\{\w+\}$", description="${NAME} of the environment variable that holds the bearer token")
    models: dict[str, str] = Field({}, description="served name, with or without @version, to the upstream's name; others keep their own")
    connect_seconds: float = Field(5.0, gt=0, description="to make a connection")
    read_seconds: float = Field(120.0, gt=0, description="between two pieces of an answer")
    retries: int = Field(2, ge=0, le=10, description="further attempts when no connection can be made; never once an answer began")
    connections: int = Field(256, ge=1, description="to the upstream at once at most")
    score_by: Literal["ids", "text"] = Field(
        "ids", description="how labels are scored: by token ids (vLLM), or by texts where ids are not taken"
    )

    _client: Client | None = PrivateAttr(None)
    _releases: dict[str, Path] = PrivateAttr(default_factory=dict)
    _formats: dict[str, ChatFormat] = PrivateAttr(default_factory=dict)
    _running: int = PrivateAttr(0)

    async def start(self, report: Report) -> None:
        from tunewright.serve.remote.client import Client

        limits: dict[str, Any] = {"retries": self.retries, "connections": self.connections}
        self._client = Client(self.url, self.api_key, connect=self.connect_seconds, read=self.read_seconds, **limits)
        try:
            found = await self._client.get("models")
            report.say(f"upstream {self._client.shown} serves {', '.join(str(one['id']) for one in found['data'])}")
        except (EngineError, KeyError, TypeError) as error:
            report.say(f"upstream {self._client.shown} does not tell its models yet ({error}); requests are passed on all the same")

    async def load(self, name: str, release: Path) -> None:
        self._releases[name] = release
        self._formats.pop(name, None)

    async def unload(self, name: str) -> None:
        self._known(name)
        del self._releases[name]
        self._formats.pop(name, None)

    async def generate(self, request: Request) -> AsyncIterator[Piece]:
        from tunewright.serve.remote.answers import body_of, pieces

        client = self._known(request.model)
        path, body = body_of(request, self._theirs(request.model))
        self._running += 1
        try:
            async with aclosing(client.events(path, body)) as events, aclosing(pieces(events)) as answer:
                async for piece in answer:
                    yield piece
        finally:
            self._running -= 1

    async def score(self, model: str, texts: Sequence[str]) -> Scores:
        from tunewright.serve.remote.labels import score

        client = self._known(model)
        if model not in self._formats:
            self._formats[model] = await asyncio.to_thread(_format, model, self._releases[model])
        self._running += 1
        try:
            return await score(client, self._theirs(model), self._formats[model], texts, self.score_by)
        finally:
            self._running -= 1

    async def stop(self) -> None:
        if self._client is not None:
            client, self._client = self._client, None
            await client.close()

    def load_now(self) -> dict[str, float]:
        return {"requests_running": float(self._running)}

    def _known(self, name: str) -> Client:
        """The client, if `name` is served."""
        if self._client is None:
            raise EngineError("The engine is not running.", 503, "engine_stopped")
        if name not in self._releases:
            raise EngineError(f"The model {name!r} is not served here.", 404, "model_not_found")
        return self._client

    def _theirs(self, name: str) -> str:
        """The upstream's name of a model."""
        return self.models.get(name) or self.models.get(name.partition("@")[0]) or name


def _format(name: str, release: Path) -> ChatFormat:
    """How the release's prompts look, by its own tokenizer."""
    from tunewright.models.chat import ChatFormat
    from tunewright.models.load import pretrained

    if not (release / "tokens.json").is_file():
        raise EngineError(f"{name} has no labels: it is not a release of a classifier.", 400, "no_labels")
    return ChatFormat(pretrained("AutoTokenizer", release), **read_json(release / "tokens.json")["format"])
