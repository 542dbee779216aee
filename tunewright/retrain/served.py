"""A challenger at the endpoint against its own release: is what callers would get the model that passed the tests?

A server may have loaded other weights, another chat template or a coarser number format; the sealed tests cannot see that, because
they never ask the server. `release.gate` asks it the probes of the release, by the version's own name, so no caller is touched.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from tunewright.core.errors import RunError
from tunewright.core.loop import EndpointSettings
from tunewright.release import gate


def key_of(settings: EndpointSettings) -> str | None:
    """The API key, None for an endpoint that asks for none. Raises `RunError` when its variable does not exist."""
    if settings.key_env is None:
        return None
    if settings.key_env not in os.environ:
        raise RunError(f"{settings.key_env}: there is no such environment variable (retrain.endpoint.key_env or --key-env).")
    return os.environ[settings.key_env] or None


def check(release: Path, name: str, settings: EndpointSettings) -> dict[str, Any]:
    """What was measured of the version `name`; `passed` says whether it is the release.

    Raises `EnvironmentProblem` when nobody answers at the address, `RunError` when the server has no such version or refuses the key.
    """
    assert settings.url is not None
    key, rows = key_of(settings), settings.rows
    try:
        return gate.check_endpoint(release, settings.url, name, key=key, rows=rows, quantise=settings.precision)
    except gate.ParityError as error:
        return error.arm
