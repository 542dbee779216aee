"""From bytes that anybody may have sent to a checked body: size, time, type, encoding, depth, numbers, then the schema.

The size is checked before and while reading, so that a body without a length is no way around it. JSON is read strictly: no NaN,
no invalid UTF-8, no lone surrogates, no null bytes, no nesting beyond `MAX_DEPTH`.
"""

from __future__ import annotations

import asyncio
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request

from tunewright.core.settings import did_you_mean, show_place
from tunewright.serve.errors import ApiError, ClientGone, bad_request
from tunewright.serve.logs import one_line

MAX_DEPTH = 64
BODY_SECONDS = 30.0  # to send a whole body; slower clients get 408
Body = TypeVar("Body", bound=BaseModel)


async def read(request: Request, schema: type[Body], most: int) -> Body:
    """The body of `request` as `schema`. Raises `ApiError` (400, 408, 413, 415)."""
    return check(parse(await _bytes(request, most)), schema)


async def _bytes(request: Request, most: int) -> bytes:
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind != "application/json":
        raise ApiError(415, "The body must be JSON: send the header `Content-Type: application/json`.", "unsupported_media_type")
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise ApiError(415, "A compressed body is not accepted: send it without Content-Encoding.", "unsupported_encoding")
    too_large = ApiError(413, f"The body must not be larger than {most:,} bytes.", "request_too_large", headers={"connection": "close"})
    length = request.headers.get("content-length", "")
    if length.isascii() and length.isdecimal() and int(length[:20]) > most:
        raise too_large
    whole = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                whole += chunk
                if len(whole) > most:
                    raise too_large
    except TimeoutError as error:
        message = f"The body did not arrive within {BODY_SECONDS:.0f} seconds."
        raise ApiError(408, message, "request_timeout", headers={"connection": "close"}) from error
    except ClientDisconnect as error:
        raise ClientGone from error
    return bytes(whole)


def parse(raw: bytes) -> Any:
    """The value that `raw` means as JSON. Raises `ApiError` 400."""
    if not raw:
        raise bad_request("The body is empty; it must be a JSON object.", code="invalid_json")
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise bad_request(
            f"The body is not valid JSON: {error.msg} (line {error.lineno}, column {error.colno}).", code="invalid_json"
        ) from error
    _check_shape(value)
    return value


def _check_shape(value: Any) -> None:
    """Refuse nesting that is too deep and texts with null bytes, without recursion."""
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise bad_request(f"The body is nested deeper than {MAX_DEPTH} levels.", code="invalid_json")
        inner: list[Any] = []
        for one in level:
            if isinstance(one, str):
                if "\0" in one:
                    raise bad_request("Texts must not hold null characters (\\u0000).", code="invalid_json")
            elif isinstance(one, dict):
                inner += one.keys()
                inner += one.values()
            elif isinstance(one, list):
                inner += one
        level = inner


def check(value: Any, schema: type[Body]) -> Body:
    """`value` as `schema`. Raises `ApiError` 400 that names the first mistake and its key."""
    if not isinstance(value, dict):
        raise bad_request(f"The body must be a JSON object, but is {_kind(value)}.", code="invalid_json")
    try:
        return schema.model_validate(value)
    except ValidationError as error:
        raise _mistake(error, schema) from error


def _mistake(error: ValidationError, schema: type[BaseModel]) -> ApiError:
    """The first mistake. Where one of several types would do, it is the one that went furthest."""
    first = max(error.errors(include_url=False), key=lambda one: len(one["loc"]))
    unknown = first["type"] == "extra_forbidden"  # then the last step is the caller's own word, whatever it is
    outer = first["loc"][:-1] if unknown else first["loc"]
    steps = tuple(step for step in outer if isinstance(step, int) or (step.isidentifier() and step not in _TYPES))
    steps = (*steps, _shown_key(first["loc"][-1])) if unknown else steps
    place = show_place(steps) or None
    if unknown:
        message, code = f"is not a key of this API.{did_you_mean(str(steps[-1]), _keys(schema, steps))}", "unknown_parameter"
    elif first["type"] == "missing":
        message, code = "is required and missing.", "missing_required_parameter"
    else:
        rule = first["msg"].removeprefix("Value error, ").removeprefix("Input ").rstrip(".")
        got = "" if isinstance(first["input"], dict | list) else f", but got {_shown(first['input'])}"
        message, code = f"{rule}{got}.", "invalid_value"
    name = one_line(place)[:200] if place else None
    return bad_request(one_line(f"{name}: {message}" if name else message), name, code)


_TYPES = {"str", "int", "float", "bool"}


def _keys(schema: type[BaseModel], steps: tuple[int | str, ...]) -> list[str]:
    return list(schema.model_fields) if len(steps) == 1 else []


def _shown_key(key: int | str) -> str:
    text = one_line(key)
    return text if len(text) <= 100 else f"{text[:100]}..."


def _shown(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 100 else f"{shown[:100]}..."


def _kind(value: Any) -> str:
    return {list: "an array", str: "a string", bool: "true or false", type(None): "null"}.get(type(value), "a number")
