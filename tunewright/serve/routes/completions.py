"""POST /v1/completions: a plain prompt (text or token ids, one or several) goes on. What lm-eval's `local-completions` asks for."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from tunewright.serve import engine
from tunewright.serve.answers import Answer, Part, answer_all, parts_of
from tunewright.serve.body import read
from tunewright.serve.call import Call
from tunewright.serve.connection import while_connected
from tunewright.serve.engine import Piece, Sampling, TokenScore
from tunewright.serve.errors import bad_request
from tunewright.serve.replies import CompletionAnswer
from tunewright.serve.routes.chat import LEAST_LOGPROB, longest_answer, seed_of
from tunewright.serve.routes.shared import Json, described, opened, usage_of
from tunewright.serve.routes.streaming import streamed
from tunewright.serve.schemas import MOST_PROMPTS, CompletionBody

router = APIRouter()
DEFAULT_TOKENS = 16  # as in OpenAI's API


@router.post("/v1/completions", openapi_extra=described(CompletionBody, CompletionAnswer, streams=True), summary="Go on with a prompt")
async def completions(request: Request) -> Response:
    async with opened(request, "completions") as call:
        body = await read(request, CompletionBody, call.service.settings.max_request_bytes)
        prompts, number = body.prompts, body.n or 1
        call.prompt = _text(prompts[0])
        if len(prompts) * number > MOST_PROMPTS:
            raise bad_request(f"prompt: at most {MOST_PROMPTS} answers in one request, but got {len(prompts) * number}.", "prompt")
        await call.route(body.model, body.user)
        wanted = [_request(call, body, prompt, index) for prompt in prompts for index in range(number)]
        parts = parts_of(call, wanted, [_text(prompt) for prompt in prompts for _ in range(number)])
        if body.stream:
            return await streamed(call, request, parts, _Chunks(call, body))
        answers = await while_connected(request.receive, answer_all(call, parts))
        call.service.shadow.answer(call, parts)
        return Json(_document(call, body, answers), headers=call.headers)


def _text(prompt: str | tuple[int, ...]) -> str:
    """What the log keeps of a prompt."""
    return prompt if isinstance(prompt, str) else json.dumps(prompt)


def _request(call: Call, body: CompletionBody, prompt: str | tuple[int, ...], index: int) -> engine.Request:
    return engine.Request(
        model=call.release.name,
        prompt=prompt,
        echo=bool(body.echo),
        sampling=Sampling(
            max_tokens=longest_answer(call, body.max_tokens, DEFAULT_TOKENS, "max_tokens"),
            temperature=1.0 if body.temperature is None else body.temperature,
            top_p=1.0 if body.top_p is None else body.top_p,
            stop=body.stops,
            seed=None if body.seed is None else seed_of(body.seed, index),
            logprobs=body.logprobs,
            frequency_penalty=body.frequency_penalty or 0.0,
            presence_penalty=body.presence_penalty or 0.0,
        ),
    )


def _document(call: Call, body: CompletionBody, answers: Sequence[Answer]) -> Mapping[str, Any]:
    choices = [
        {
            "index": index,
            "text": answer.text,
            "logprobs": _logprobs(answer.tokens) if body.logprobs is not None else None,
            "finish_reason": answer.finish,
        }
        for index, answer in enumerate(answers)
    ]
    head = {"id": call.id, "object": "text_completion", "created": call.created, "model": body.model}
    return {**head, "choices": choices, "usage": _usage(answers, body.n or 1), "system_fingerprint": call.release.release}


def _usage(answers: Sequence[Answer], number: int) -> Mapping[str, Any]:
    """The `number` answers to one prompt stand together; the prompt counts once."""
    told = [answer.usage for answer in answers]
    own = [one for one in told[::number] if one is not None]
    made = sum(one.completion_tokens for one in told if one is not None)
    return usage_of(sum(one.prompt_tokens for one in own), made, sum(one.cached_tokens for one in own))


def _logprobs(tokens: Sequence[TokenScore], offset: int = 0) -> Mapping[str, Any]:
    """The older format: one list a column. The first token of a prompt has no probability."""
    offsets = []
    for one in tokens:
        offsets.append(offset)
        offset += len(one.text)
    return {
        "tokens": [one.text for one in tokens],
        "token_logprobs": [None if one.logprob is None else max(one.logprob, LEAST_LOGPROB) for one in tokens],
        "top_logprobs": [None if one.logprob is None else _top(one) for one in tokens],
        "text_offset": offsets,
    }


def _top(token: TokenScore) -> Mapping[str, float]:
    """The likeliest tokens and the one that was taken. Of two tokens with one text the likelier counts."""
    found: dict[str, float] = {}
    for text, logprob in (*token.top, (token.text, LEAST_LOGPROB if token.logprob is None else token.logprob)):
        found[text] = max(found.get(text, LEAST_LOGPROB), logprob)
    return found


class _Chunks:
    """text_completion documents with the next piece of text."""

    def __init__(self, call: Call, body: CompletionBody) -> None:
        self.body, self._answers, self._offsets = body, dict[int, Answer](), dict[int, int]()
        head = {"id": call.id, "object": "text_completion", "created": call.created, "model": body.model}
        self._head = {**head, "system_fingerprint": call.release.release}
        self._extra: dict[str, Any] = {"usage": None} if body.with_usage else {}

    def of(self, part: Part, piece: Piece) -> Iterable[Mapping[str, Any]]:
        self._answers[part.index] = part.answer
        offset = self._offsets.get(part.index, 0)
        self._offsets[part.index] = offset + len(piece.text)
        logprobs = _logprobs(piece.tokens, offset) if self.body.logprobs is not None else None
        choice = {"index": part.index, "text": piece.text, "logprobs": logprobs, "finish_reason": piece.finish}
        yield {**self._head, "choices": [choice], **self._extra}

    def usage(self) -> Mapping[str, Any] | None:
        if not self.body.with_usage:
            return None
        answers = [self._answers[index] for index in sorted(self._answers)]
        return {**self._head, "choices": [], "usage": _usage(answers, self.body.n or 1)}
