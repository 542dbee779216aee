"""POST /v1/explain: which words moved the answer, by leaving out one at a time."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from tunewright.models.occlusion import log_odds, sentence, split_words, without
from tunewright.serve.body import read
from tunewright.serve.call import Call
from tunewright.serve.connection import while_connected
from tunewright.serve.labels import score
from tunewright.serve.replies import ExplainAnswer
from tunewright.serve.routes.classify import verdict
from tunewright.serve.routes.shared import Json, described, opened, usage_of
from tunewright.serve.schemas import ExplainBody

router = APIRouter()


@router.post("/v1/explain", openapi_extra=described(ExplainBody, ExplainAnswer), summary="Say which words moved an answer")
async def explain(request: Request) -> Response:
    async with opened(request, "explain") as call:
        body = await read(request, ExplainBody, call.service.settings.max_request_bytes)
        call.prompt = body.input
        await call.route(body.model, body.user)
        return Json(await while_connected(request.receive, _explained(call, body)), headers=call.headers)


async def _explained(call: Call, body: ExplainBody) -> dict[str, Any]:
    """The answer to the whole text, and what its log-odds lose without each word."""
    words, release = split_words(body.input, body.most_words), call.release
    texts = [body.input, *without([words], [(0, (place,)) for place in range(len(words))])]
    outcome: dict[str, Any] = {"status": 499, "error": "cancelled"}
    told: dict[str, Any] = {}
    try:
        found, scores = await score(call, texts, outcome)
        told = verdict(release.labels, found[0])
        best = release.labels.index(told["answer"])
        odds = await asyncio.to_thread(log_odds, release.adjusted(scores.log_likelihood), [best] * len(texts))
        weights = [float(odds[0] - value) for value in odds[1:]]
    finally:
        call.log(call.id, outcome["status"], prompt=body.input, answer=told.get("answer"), error=outcome["error"], finish=_finish(told))
    ranked = sorted(zip(words, weights, strict=True), key=lambda one: -abs(one[1]))
    return {
        "id": call.id,
        "object": "explanation",
        "created": call.created,
        "model": body.model,
        "version": release.name,
        **told,
        "sentence": sentence(told["answer"], told["confidence"], words, weights),
        "words": [{"word": word, "weight": weight} for word, weight in zip(words, weights, strict=True)],
        "strongest": [word for word, _ in ranked[:3]],
        "usage": usage_of(sum(scores.prompt_tokens), 0, scores.cached_tokens),
    }


def _finish(told: dict[str, Any]) -> str:
    return "stop" if told else "error"
