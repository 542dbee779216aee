"""Label scores for texts: one pass of the engine, calibrated, logged text by text."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from tunewright.core.score import Floats
from tunewright.serve.answers import GONE, timed_out
from tunewright.serve.call import Call
from tunewright.serve.engine import EngineError, Scores
from tunewright.serve.errors import ApiError, bad_request
from tunewright.serve.logs import LOG


async def classify(call: Call, texts: Sequence[str]) -> tuple[Floats, Scores]:
    """Calibrated probabilities (n, c) of the release's labels, and what the engine said. Each text is logged, however it ends."""
    outcome: dict[str, Any] = {"status": 500, "error": "internal_error"}
    found: tuple[Floats, Scores] | None = None
    try:
        found = await score(call, texts, outcome)
        return found
    finally:
        _log(call, texts, found, outcome)


async def score(call: Call, texts: Sequence[str], outcome: dict[str, Any] | None = None) -> tuple[Floats, Scores]:
    """The same without the log; `outcome` takes the status and the code of what went wrong. Raises `ApiError`."""
    outcome = {} if outcome is None else outcome
    release = call.release
    if not release.labels:
        outcome |= {"status": 400, "error": "no_labels"}
        raise bad_request(f"{release.name} is no classifier: it was not trained on labels.", "model", "no_labels")
    try:
        (ticket,) = call.tickets()
    except ApiError as error:
        outcome |= {"status": error.status, "error": error.code}
        raise
    try:
        async with asyncio.timeout_at(call.deadline):
            scores = await call.service.engine.score(release.name, texts)
        outcome |= {"status": 200, "error": None}
        call.gate.took(call.elapsed())
        return release.probabilities(scores.log_likelihood), scores
    except TimeoutError as error:
        outcome |= {"status": 504, "error": "timeout"}
        raise timed_out(call) from error
    except EngineError as error:
        outcome |= {"status": error.status, "error": error.code}
        raise ApiError(error.status, str(error), error.code) from error
    except asyncio.CancelledError:
        outcome |= {"status": GONE, "error": "cancelled"}
        raise
    except Exception as error:
        LOG.exception("%s: the engine failed", call.id)
        raise ApiError(500, "The engine failed. The server's log says why, under this request's id.", "internal_error") from error
    finally:
        ticket.close()


def _log(call: Call, texts: Sequence[str], found: tuple[Floats, Scores] | None, outcome: dict[str, Any]) -> None:
    status, labels, number = outcome["status"], call.release.labels, len(texts)
    for index, text in enumerate(texts):
        told: dict[str, Any] = {"finish": "cancelled" if status == GONE else "error"}
        if found is not None:
            own = found[0][index]
            answer = labels[int(own.argmax())]
            told = {
                "answer": answer,
                "label": answer,
                "probabilities": {label: float(value) for label, value in zip(labels, own, strict=True)},
                "prompt_tokens": found[1].prompt_tokens[index],
                "finish": "stop",
                "extra": {"truncated": True} if found[1].truncated[index] else {},
            }
        shadow_of = call.part(index, number, call.shadow_of) if call.shadow_of else None
        call.log(call.part(index, number), status, prompt=text, error=outcome["error"], shadow_of=shadow_of, **told)
    if found is not None:
        call.service.count_scores(call, found[1])
    else:
        call.service.count_failure(call, status)
