"""Who asks, and whether they may: the API key, its scope, its rate, and what makes a caller stick to a side."""

from __future__ import annotations

from datetime import UTC, datetime

from starlette.requests import Request

from tunewright.serve.errors import ApiError
from tunewright.serve.keys import Key
from tunewright.serve.service import Service

LONGEST = 200  # characters of X-Caller that count


def authorised(service: Service, request: Request, scope: str) -> Key | None:
    """The key of `request`; None where no key is asked for. Raises `ApiError` 401, 403 or 429."""
    if not service.keyring.required:
        return None
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer" or not token.strip():
        raise _refused(service, "An API key is needed: send the header `Authorization: Bearer tw-...`.", "missing_api_key")
    key = service.keyring.find(token.strip())
    if key is None:
        raise _refused(service, "This API key is not known here.", "invalid_api_key")
    state = key.state(datetime.now(UTC))
    if state != "valid":
        raise _refused(service, f"This API key is {state}.", "invalid_api_key")
    if not key.may(scope):
        service.metrics.refused.labels("scope").inc()
        raise ApiError(403, f"This API key lacks the scope {scope!r}; it has {', '.join(key.scopes)}.", "insufficient_scope")
    try:
        service.rates.take(key.id, key.requests_per_minute or service.settings.requests_per_minute)
    except ApiError:
        service.metrics.refused.labels("rate").inc()
        raise
    return key


def caller(request: Request, key: Key | None) -> str:
    """What makes a caller stick to a side, unless the body names a `user`: the X-Caller header, the key, or the address."""
    named = request.headers.get("x-caller", "").strip()[:LONGEST]
    if named:
        return f"caller:{named}"
    if key is not None:
        return f"key:{key.id}"
    return f"address:{request.client.host if request.client else ''}"


def _refused(service: Service, message: str, code: str) -> ApiError:
    service.metrics.refused.labels("key").inc()
    return ApiError(401, message, code, headers={"www-authenticate": "Bearer"})
