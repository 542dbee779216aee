"""The connection to an upstream. Its address comes from the operator's recipe, never from a request; redirects are not followed.

A connection that cannot be made, or breaks before an answer began, is tried again; once a piece was passed on, never.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx
import orjson

from tunewright.core.errors import EnvironmentProblem
from tunewright.core.urls import expanded, without
from tunewright.serve.engine import EngineError

DRAIN = 0.1  # seconds for the end of a stream after its last event
PAUSE = 0.1  # seconds before the second attempt; doubled for each further one
MOST_BYTES = 16_000_000  # of one event, or of one answer that is not streamed
CALLERS_FAULT = {400, 404, 413, 415, 422}


class Client:
    """One pool of connections to one upstream."""

    def __init__(self, url: str, key: str | None, *, connect: float, read: float, retries: int, connections: int) -> None:
        self.retries = retries
        address, self._secrets = _expanded("serve.engine.url", url)
        try:
            parsed = httpx.URL(address)
        except httpx.InvalidURL as error:
            raise EnvironmentProblem(f"serve.engine.url: {url!r} is no URL ({error}).") from error
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise EnvironmentProblem(f"serve.engine.url: must be http://HOST or https://HOST, but got {url!r}.")
        headers = {"content-type": "application/json"}
        if key is not None:
            secret, hidden = _expanded("serve.engine.api_key", key)
            headers["authorization"] = f"Bearer {secret}"
            self._secrets = [*self._secrets, secret, *hidden]
        self.shown = f"{parsed.scheme}://{parsed.host}{f':{parsed.port}' if parsed.port else ''}"
        self._http = httpx.AsyncClient(
            base_url=parsed,
            headers=headers,
            timeout=httpx.Timeout(read, connect=connect, pool=None),
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections, keepalive_expiry=30),
            follow_redirects=False,
            trust_env=False,
        )

    async def close(self) -> None:
        await self._http.aclose()

    async def get(self, path: str) -> Any:
        """The JSON document at `path`. Raises `EngineError`."""
        async with self._opened("GET", path, None) as response:
            return _json(await _whole(response))

    async def post(self, path: str, body: dict[str, Any]) -> Any:
        """The JSON document that answers `body`. Raises `EngineError`."""
        async with self._opened("POST", path, body) as response:
            return _json(await _whole(response))

    async def events(self, path: str, body: dict[str, Any]) -> AsyncGenerator[Any, None]:
        """The documents of a stream of server-sent events, up to [DONE]. Raises `EngineError`."""
        async with self._opened("POST", path, body) as response:
            if not response.headers.get("content-type", "").startswith("text/event-stream"):
                raise EngineError(f"The upstream {self.shown} did not stream its answer.", 502, "upstream_error")
            held, chunks = b"", response.aiter_bytes()
            async for chunk in chunks:
                *lines, held = (held + chunk).split(b"\n")
                if len(held) > MOST_BYTES:
                    raise _too_large()
                for line in lines:
                    if not line.startswith(b"data:"):
                        continue
                    told = line[5:].strip()
                    if told == b"[DONE]":
                        await _drained(chunks)
                        return
                    yield _json(told)
        raise EngineError(f"The upstream {self.shown} ended in the middle of its answer.", 502, "upstream_interrupted")

    @asynccontextmanager
    async def _opened(self, method: str, path: str, body: dict[str, Any] | None) -> AsyncIterator[httpx.Response]:
        """A response with status 200 whose body is still to be read."""
        response = await self._sent(method, path, None if body is None else orjson.dumps(body))
        try:
            if response.status_code != 200:
                raise self._refused(response.status_code, await _whole(response))
            yield response
        except httpx.TimeoutException as error:
            raise self._late() from error
        except httpx.HTTPError as error:
            raise EngineError(f"The connection to the upstream {self.shown} broke.", 502, "upstream_interrupted") from error
        finally:
            await response.aclose()

    async def _sent(self, method: str, path: str, content: bytes | None) -> httpx.Response:
        for attempt in range(self.retries + 1):
            try:
                return await self._http.send(self._http.build_request(method, path, content=content), stream=True)
            except (httpx.ReadTimeout, httpx.WriteTimeout) as error:
                raise self._late() from error
            except httpx.TransportError as error:
                if attempt == self.retries:
                    message = f"The upstream {self.shown} cannot be reached ({type(error).__name__})."
                    raise EngineError(message, 502, "upstream_unreachable") from error
                await asyncio.sleep(PAUSE * 2**attempt)
        raise AssertionError("unreachable")

    def _late(self) -> EngineError:
        return EngineError(f"The upstream {self.shown} did not answer in time.", 504, "upstream_timeout")

    def _refused(self, status: int, raw: bytes) -> EngineError:
        """What an upstream's error means to our caller. What it says is shown only where the request may be at fault."""
        if status in (401, 403):
            return EngineError(f"The upstream {self.shown} refuses this server's key.", 502, "upstream_refuses_key")
        if status in (429, 503):
            return EngineError(f"The upstream {self.shown} is busy.", 503, "upstream_busy")
        if 300 <= status < 400:
            return EngineError(
                f"The upstream {self.shown} redirects, which is not followed. Correct serve.engine.url.", 502, "upstream_redirects"
            )
        if status not in CALLERS_FAULT:
            return EngineError(f"The upstream {self.shown} failed with status {status}.", 502, "upstream_error")
        message, code = _told(raw)
        if status == 404:
            return EngineError(
                f"The upstream {self.shown} does not have this model or path: {self._safe(message)}", 502, "upstream_not_found"
            )
        code = "context_length_exceeded" if "context" in code or "context length" in message.lower() else code
        return EngineError(f"The upstream refuses the request: {self._safe(message)}", 400, code or "upstream_refused")

    def _safe(self, message: str) -> str:
        return " ".join(without(self._secrets, message).split())[:500]


def _expanded(place: str, text: str) -> tuple[str, list[str]]:
    try:
        return expanded(text)
    except KeyError as error:
        raise EnvironmentProblem(f"{place}: the environment variable {error.args[0]} is not set.") from error


async def _drained(chunks: AsyncIterator[bytes]) -> None:
    """Read the end of a response, so that its connection can be used again; one whose end does not come at once is not waited for."""
    with suppress(TimeoutError):
        async with asyncio.timeout(DRAIN):
            async for _ in chunks:
                pass


async def _whole(response: httpx.Response) -> bytes:
    found = bytearray()
    async for chunk in response.aiter_bytes():
        found += chunk
        if len(found) > MOST_BYTES:
            raise _too_large()
    return bytes(found)


def _too_large() -> EngineError:
    return EngineError(f"The upstream's answer is larger than {MOST_BYTES:,} bytes.", 502, "upstream_error")


def _json(raw: bytes) -> Any:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise EngineError("The upstream's answer is no JSON.", 502, "upstream_error") from error


def _told(raw: bytes) -> tuple[str, str]:
    """Message and code of an error as OpenAI's API, vLLM, llama.cpp or Ollama tells it."""
    try:
        found = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return raw.decode(errors="replace"), ""
    error = found.get("error", found) if isinstance(found, dict) else found
    if not isinstance(error, dict):
        return str(error), ""
    code = next((one for one in (error.get("code"), error.get("type")) if isinstance(one, str)), "")
    return str(error.get("message") or error.get("detail") or error), code
