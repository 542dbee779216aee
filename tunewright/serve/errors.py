"""What goes wrong, in the shape of OpenAI's API: {"error": {"message", "type", "param", "code"}}.

A message states the rule, the value and the remedy; it never holds a traceback, a path of the server or somebody else's text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


class ApiError(Exception):
    """An answer that is an error. `param` is the key of the body that it is about."""

    def __init__(self, status: int, message: str, code: str, param: str | None = None, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.param = status, message, code, param
        self.headers = dict(headers or {})

    def document(self) -> dict[str, Any]:
        """The body of the answer."""
        return error_document(self.status, self.message, self.code, self.param)


class ClientGone(Exception):
    """The client closed the connection; nobody is left to answer."""


def error_document(status: int, message: str, code: str | None, param: str | None = None) -> dict[str, Any]:
    """The error as JSON."""
    kind = TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def bad_request(message: str, param: str | None = None, code: str = "invalid_value") -> ApiError:
    """A mistake in the body."""
    return ApiError(400, message, code, param)


def busy(message: str, code: str, seconds: float) -> ApiError:
    """Too much at once: come back in `seconds`."""
    return ApiError(429, message, code, headers={"retry-after": str(max(1, round(seconds + 0.5)))})
