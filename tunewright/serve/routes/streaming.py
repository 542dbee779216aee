"""Answers as server-sent events: `data: {...}` a piece, `data: [DONE]` at the end, an error as `data: {"error": ...}`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping
from typing import Any, Protocol

import orjson
from starlette.requests import Request
from starlette.responses import Response

from tunewright.serve.answers import Part, events
from tunewright.serve.call import Call
from tunewright.serve.connection import EventStream, while_connected
from tunewright.serve.engine import Piece
from tunewright.serve.errors import ApiError, error_document


class Chunks(Protocol):
    """How an endpoint shows a piece."""

    def of(self, part: Part, piece: Piece) -> Iterable[Mapping[str, Any]]:
        """The chunks for the next piece of `part`."""

    def usage(self) -> Mapping[str, Any] | None:
        """The last chunk, if the caller wants it."""


async def streamed(call: Call, request: Request, parts: list[Part], chunks: Chunks) -> Response:
    """A stream whose first piece is there: what goes wrong before it is an ordinary error. Raises `ApiError`, `ClientGone`."""
    source = events(call, parts)
    first = await while_connected(request.receive, _next(source))

    async def close() -> None:
        await source.aclose()
        call.close()

    call.kept = True
    return EventStream(_shown(call, source, first, parts, chunks), call.headers, close)


async def _next(source: AsyncGenerator[tuple[Part, Piece], None]) -> tuple[Part, Piece]:
    return await anext(source)


async def _shown(
    call: Call, source: AsyncGenerator[tuple[Part, Piece], None], first: tuple[Part, Piece], parts: list[Part], chunks: Chunks
) -> AsyncGenerator[bytes, None]:
    for chunk in chunks.of(*first):
        yield event(chunk)
    try:
        async for part, piece in source:
            for chunk in chunks.of(part, piece):
                yield event(chunk)
    except ApiError as error:
        yield event(error_document(error.status, error.message, error.code, error.param))
        return
    last = chunks.usage()
    if last is not None:
        yield event(last)
    call.service.shadow.answer(call, parts)
    yield b"data: [DONE]\n\n"


def event(document: Mapping[str, Any]) -> bytes:
    """One server-sent event."""
    return b"data: " + orjson.dumps(document) + b"\n\n"
