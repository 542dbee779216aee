"""JSON over HTTP with the standard library, and errors that say which address answered what."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from typing import Any

from tunewright.core.errors import EnvironmentProblem, RunError

TIMEOUT_SECONDS = 300.0


class Client:
    """Asks one server. `key` is sent as a bearer token and never shown."""

    def __init__(self, url: str, key: str | None = None) -> None:
        self.url = url.rstrip("/").removesuffix("/v1")
        if not self.url.startswith(("http://", "https://")):
            raise RunError(f"{url!r} is no address of an endpoint: it must begin with http:// or https://.")
        self._headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})

    def ask(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """The answer to POST `body` (GET without one). Raises `Refused` for an HTTP error, `EnvironmentProblem` when nobody answers."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, headers=self._headers)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            words = error.read(2000).decode("utf-8", "replace")
            raise Refused(error.code, f"{self.url}{path} answered {error.code}: {words[:300]}") from error
        except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
            raise EnvironmentProblem(f"{self.url}{path} does not answer ({error}). Is the server up, and is this its address?") from error
        except ValueError as error:
            raise RunError(f"{self.url}{path} answered something that is not JSON ({error}).") from error


class Refused(RunError):
    """The server answered with an HTTP error."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
