"""POST /v1/classify: labels of texts with calibrated probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from tunewright.core.score import Floats
from tunewright.serve.body import read
from tunewright.serve.call import Call
from tunewright.serve.connection import while_connected
from tunewright.serve.engine import Scores
from tunewright.serve.labels import classify
from tunewright.serve.replies import ClassifyAnswer
from tunewright.serve.routes.shared import Json, described, opened, usage_of
from tunewright.serve.schemas import ClassifyBody

router = APIRouter()


@router.post("/v1/classify", openapi_extra=described(ClassifyBody, ClassifyAnswer), summary="Label texts")
async def labels(request: Request) -> Response:
    async with opened(request, "classify") as call:
        body = await read(request, ClassifyBody, call.service.settings.max_request_bytes)
        call.prompt = body.texts[0]
        await call.route(body.model, body.user)
        found, scores = await while_connected(request.receive, classify(call, body.texts))
        call.service.shadow.classify(call, body.texts)
        return Json(_document(call, body.model, found, scores), headers=call.headers)


def _document(call: Call, model: str, found: Floats, scores: Scores) -> dict[str, Any]:
    release, number = call.release, len(found)
    data = [
        {"index": index, "id": call.part(index, number), **verdict(release.labels, own), "truncated": scores.truncated[index]}
        for index, own in enumerate(found)
    ]
    head = {"id": call.id, "object": "classification", "created": call.created, "model": model, "version": release.name}
    usage = usage_of(sum(scores.prompt_tokens), 0, scores.cached_tokens)
    return {**head, "calibrated": release.calibrated, "data": data, "usage": usage}


def verdict(labels: Sequence[str], probabilities: Floats) -> dict[str, Any]:
    """The answer, how sure it is, and the probability of every label."""
    best = int(probabilities.argmax())
    shown = {label: float(value) for label, value in zip(labels, probabilities, strict=True)}
    return {"answer": labels[best], "confidence": float(probabilities[best]), "probabilities": shown}
