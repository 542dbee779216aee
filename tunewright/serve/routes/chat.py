"""POST /v1/chat/completions: OpenAI's chat, through the model's own chat template."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from tunewright.serve import engine
from tunewright.serve.answers import Answer, Part, answer_all, parts_of
from tunewright.serve.body import read
from tunewright.serve.call import Call
from tunewright.serve.connection import while_connected
from tunewright.serve.engine import CallPart, Piece, Sampling, TokenScore
from tunewright.serve.errors import bad_request
from tunewright.serve.replies import ChatAnswer
from tunewright.serve.routes.shared import Json, described, opened, usage_of
from tunewright.serve.routes.streaming import streamed
from tunewright.serve.schemas import ChatBody, Message

router = APIRouter()
LEAST_LOGPROB = -9999.0  # for a probability of zero, which JSON cannot hold as a logarithm


@router.post("/v1/chat/completions", openapi_extra=described(ChatBody, ChatAnswer, streams=True), summary="Answer a chat")
async def chat(request: Request) -> Response:
    async with opened(request, "chat") as call:
        body = await read(request, ChatBody, call.service.settings.max_request_bytes)
        call.prompt = prompt_text(body.messages)
        await call.route(body.model, body.user)
        wanted = [_request(call, body, index) for index in range(body.n or 1)]
        parts = parts_of(call, wanted, [call.prompt] * len(wanted))
        if body.stream:
            return await streamed(call, request, parts, _Chunks(call, body))
        answers = await while_connected(request.receive, answer_all(call, parts))
        call.service.shadow.answer(call, parts)
        return Json(_document(call, body, answers), headers=call.headers)


def prompt_text(messages: Sequence[Message]) -> str:
    """What the log keeps: the text of a single question, else all turns as JSON."""
    if len(messages) == 1 and messages[0].role == "user":
        return messages[0].text
    return json.dumps([one.plain() for one in messages], ensure_ascii=False)


def longest_answer(call: Call, asked: int | None, default: int, param: str) -> int:
    """The number of tokens that an answer may have. Raises `ApiError` when the caller wants more than the server allows."""
    most = call.service.settings.max_tokens
    if asked is not None and asked > most:
        raise bad_request(f"{param}: at most {most:,} tokens in one answer here, but got {asked:,}.", param)
    return min(most, default) if asked is None else asked


def _request(call: Call, body: ChatBody, index: int) -> engine.Request:
    param = "max_completion_tokens" if body.max_completion_tokens is not None else "max_tokens"
    most = longest_answer(call, body.max_completion_tokens or body.max_tokens, call.service.settings.max_tokens, param)
    tools = body.tools or [] if body.tool_choice != "none" else []
    return engine.Request(
        model=call.release.name,
        messages=tuple(one.plain() for one in body.messages),
        tools=tuple(one.model_dump(exclude_none=True) for one in tools),
        required=body.required,
        sampling=Sampling(
            max_tokens=most,
            temperature=1.0 if body.temperature is None else body.temperature,
            top_p=1.0 if body.top_p is None else body.top_p,
            stop=body.stops,
            seed=None if body.seed is None else seed_of(body.seed, index),
            logprobs=(body.top_logprobs or 0) if body.logprobs else None,
            schema=body.response_format.schema_dict if body.response_format else None,
            frequency_penalty=body.frequency_penalty or 0.0,
            presence_penalty=body.presence_penalty or 0.0,
        ),
    )


def seed_of(seed: int, index: int) -> int:
    """The seed of answer `index`: several answers to one prompt shall differ, and each be had again."""
    return (seed + index + 2**63) % 2**64 - 2**63


def _document(call: Call, body: ChatBody, answers: Sequence[Answer]) -> Mapping[str, Any]:
    choices = [
        {
            "index": index,
            "message": _message(answer),
            "logprobs": _logprobs(answer.tokens) if body.logprobs else None,
            "finish_reason": answer.finish,
        }
        for index, answer in enumerate(answers)
    ]
    head = {"id": call.id, "object": "chat.completion", "created": call.created, "model": body.model}
    return {**head, "choices": choices, "usage": _usage(answers), "system_fingerprint": call.release.release}


def _message(answer: Answer) -> dict[str, Any]:
    if not answer.calls:
        return {"role": "assistant", "content": answer.text, "refusal": None}
    calls = [_call(one) for one in answer.calls.values()]
    return {"role": "assistant", "content": answer.text or None, "refusal": None, "tool_calls": calls}


def _call(one: CallPart) -> dict[str, Any]:
    return {"id": one.id, "type": "function", "function": {"name": one.name, "arguments": one.arguments}}


def _call_chunk(one: CallPart, part: Part) -> dict[str, Any]:
    """The first chunk of a call has its id and name, the next ones have more of its arguments."""
    if one.name is None:
        return {"index": one.index, "function": {"arguments": one.arguments}}
    return {"index": one.index, **_call(replace(one, id=part.answer.calls[one.index].id))}


def _usage(answers: Sequence[Answer]) -> Mapping[str, Any]:
    """All answers have one prompt, which counts once."""
    told = [answer.usage for answer in answers if answer.usage is not None]
    if not told:
        return usage_of(0, 0, 0)
    return usage_of(told[0].prompt_tokens, sum(one.completion_tokens for one in told), told[0].cached_tokens)


def _logprobs(tokens: Sequence[TokenScore]) -> Mapping[str, Any]:
    def shown(text: str, logprob: float | None) -> dict[str, Any]:
        value = LEAST_LOGPROB if logprob is None else max(logprob, LEAST_LOGPROB)
        return {"token": text, "logprob": value, "bytes": list(text.encode("utf-8", "replace"))}

    content = [shown(one.text, one.logprob) | {"top_logprobs": [shown(*other) for other in one.top]} for one in tokens]
    return {"content": content, "refusal": None}


class _Chunks:
    """chat.completion.chunk documents."""

    def __init__(self, call: Call, body: ChatBody) -> None:
        self.body, self._begun, self._answers = body, set[int](), dict[int, Answer]()
        head = {"id": call.id, "object": "chat.completion.chunk", "created": call.created, "model": body.model}
        self._head = {**head, "system_fingerprint": call.release.release}
        self._extra: dict[str, Any] = {"usage": None} if body.with_usage else {}

    def of(self, part: Part, piece: Piece) -> Iterable[Mapping[str, Any]]:
        self._answers[part.index] = part.answer
        if part.index not in self._begun:
            self._begun.add(part.index)
            yield self._chunk(part.index, {"role": "assistant", "content": ""})
        if piece.text or (self.body.logprobs and piece.tokens):
            yield self._chunk(part.index, {"content": piece.text}, _logprobs(piece.tokens) if self.body.logprobs else None)
        if piece.calls:
            yield self._chunk(part.index, {"tool_calls": [_call_chunk(one, part) for one in piece.calls]})
        if piece.finish is not None:
            yield self._chunk(part.index, {}, finish=piece.finish)

    def usage(self) -> Mapping[str, Any] | None:
        if not self.body.with_usage:
            return None
        return {**self._head, "choices": [], "usage": _usage([self._answers[index] for index in sorted(self._answers)])}

    def _chunk(self, index: int, delta: Mapping[str, Any], logprobs: Any = None, finish: str | None = None) -> Mapping[str, Any]:
        choice = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
        return {**self._head, "choices": [choice], **self._extra}
