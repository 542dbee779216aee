"""What every endpoint does first and last: authorise, open a call, log what got nowhere, describe itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import orjson
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from tunewright.serve.auth import authorised, caller
from tunewright.serve.call import Call, new_id
from tunewright.serve.errors import ApiError, ClientGone
from tunewright.serve.service import Service

ERRORS = {
    400: "a mistake in the body",
    401: "no API key, or none that is valid",
    403: "the key lacks a scope, or the host is unknown",
    404: "no such model",
    408: "the body came too slowly",
    413: "the body is too large",
    415: "the body is not plain JSON",
    429: "too much at once: Retry-After says when to come back",
    500: "a fault of the server",
    502: "the upstream failed",
    503: "shutting down, or the model cannot be loaded",
    504: "no answer in time",
}


class Json(Response):
    """JSON, written fast; infinite numbers become null."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return orjson.dumps(content)


def service_of(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


@asynccontextmanager
async def opened(request: Request, endpoint: str) -> AsyncIterator[Call]:
    """A call for a caller that may make it; what goes wrong is logged. Raises `ApiError`, `ClientGone`."""
    service = service_of(request)
    key = authorised(service, request, "infer")
    call = Call(service, endpoint, new_id(endpoint), caller(request, key), key)
    request.scope["state"] |= {"id": call.id, "call": call}
    try:
        yield call
    except ApiError as error:
        if error.status == 429:
            service.metrics.refused.labels("queue").inc()
        call.failed(error)
        error.headers |= call.headers
        raise
    except ClientGone:
        call.failed(ApiError(499, "The client left.", "cancelled"))
        raise
    finally:
        if not call.kept:
            call.close()


def described(body: type[BaseModel], answer: type[BaseModel], *, streams: bool = False) -> dict[str, Any]:
    """What FastAPI tells of a route in the OpenAPI description: body, answer, errors."""
    content: dict[str, Any] = {"application/json": {"schema": {"$ref": f"#/components/schemas/{answer.__name__}"}}}
    if streams:
        content["text/event-stream"] = {}
    told = {"required": True, "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{body.__name__}"}}}}
    return {"requestBody": told, "responses": {"200": {"description": "the answer", "content": content}} | errors_described()}


def errors_described(statuses: tuple[int, ...] = tuple(ERRORS)) -> dict[str, Any]:
    """The error answers of a route."""
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorAnswer"}}}
    return {str(status): {"description": ERRORS[status], "content": content} for status in statuses}


def usage_of(prompt: int, completion: int, cached: int) -> Mapping[str, Any]:
    """Usage as OpenAI tells it."""
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached},
    }
