"""From an engine's pieces to answers: several at once, each within its time, each logged however it ends."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from tunewright.serve.call import Call
from tunewright.serve.engine import CallPart, EngineError, Piece, Request, TokenScore, Usage
from tunewright.serve.errors import ApiError
from tunewright.serve.formats import calls_ok, format_ok
from tunewright.serve.limits import Ticket
from tunewright.serve.logs import LOG

GONE = 499  # the client left: no standard status, but the usual one in logs


@dataclass
class Answer:
    """One answer as far as it has come."""

    text: str = ""
    tokens: list[TokenScore] = field(default_factory=list)
    finish: str | None = None
    usage: Usage | None = None
    first_seconds: float | None = None
    pieces: int = 0
    calls: dict[int, CallPart] = field(default_factory=dict)  # whole as far as they have come

    def take(self, piece: Piece, seconds: float) -> None:
        """Add the next piece, which came `seconds` after the request."""
        if self.first_seconds is None:
            self.first_seconds = seconds
        self.text += piece.text
        self.tokens += piece.tokens
        self.finish, self.usage = piece.finish or self.finish, piece.usage or self.usage
        self.pieces += 1
        for part in piece.calls:
            before = self.calls.get(part.index)
            whole = part if before is None else replace(before, arguments=before.arguments + part.arguments)
            self.calls[part.index] = replace(whole, id=whole.id or f"call_{secrets.token_hex(12)}")

    @property
    def told(self) -> str:
        """For the log: the text, and calls as a model is taught to write them."""
        calls = [f'<tool_call>{{"name": {json.dumps(one.name)}, "arguments": {one.arguments}}}</tool_call>' for one in self.calls.values()]
        return "\n".join([self.text, *calls] if self.text else calls) if calls else self.text

    @property
    def mean_logprob(self) -> float | None:
        if self.usage is not None and self.usage.mean_logprob is not None:
            return self.usage.mean_logprob
        own = self.tokens[-self.usage.completion_tokens :] if self.usage and self.usage.completion_tokens else []
        known = [one.logprob for one in own if one.logprob is not None]
        return sum(known) / len(known) if known else None


@dataclass
class Part:
    """One of the answers that a request wants, with its place in the queue."""

    index: int
    id: str
    request: Request
    prompt: str  # for the log
    ticket: Ticket
    shadow_of: str | None = None
    answer: Answer = field(default_factory=Answer)
    done: bool = False


def parts_of(call: Call, requests: Sequence[Request], prompts: Sequence[str]) -> list[Part]:
    """The parts of a request, each with a place in the queue. Raises `ApiError` 429 when there is no room for all."""
    tickets, number = call.tickets(len(requests)), len(requests)
    return [
        Part(index, call.part(index, number), request, prompt, ticket, call.part(index, number, call.shadow_of) if call.shadow_of else None)
        for index, (request, prompt, ticket) in enumerate(zip(requests, prompts, tickets, strict=True))
    ]


async def answer_all(call: Call, parts: Sequence[Part]) -> list[Answer]:
    """All answers, whole. Raises `ApiError` when one of them fails."""
    async with aclosing(events(call, parts)) as found:
        async for _ in found:
            pass
    return [part.answer for part in parts]


async def events(call: Call, parts: Sequence[Part]) -> AsyncGenerator[tuple[Part, Piece], None]:
    """The pieces of all parts as they come. Closing it cancels what is under way; raises `ApiError` when one fails."""
    try:
        if len(parts) == 1:
            async with aclosing(_pieces(call, parts[0])) as found:
                async for piece in found:
                    yield parts[0], piece
            return
        async with aclosing(_merged(call, parts)) as several:
            async for event in several:
                yield event
    finally:
        for part in parts:
            _end(call, part, GONE, "cancelled")  # those that never began


async def _merged(call: Call, parts: Sequence[Part]) -> AsyncGenerator[tuple[Part, Piece], None]:
    queue: asyncio.Queue[tuple[Part, Piece | ApiError | None]] = asyncio.Queue(maxsize=2 * len(parts))

    async def pump(part: Part) -> None:
        try:
            async with aclosing(_pieces(call, part)) as found:
                async for piece in found:
                    await queue.put((part, piece))
            await queue.put((part, None))
        except ApiError as error:
            await queue.put((part, error))

    tasks = [asyncio.create_task(pump(part)) for part in parts]
    try:
        left = len(tasks)
        while left:
            part, got = await queue.get()
            if got is None:
                left -= 1
            elif isinstance(got, ApiError):
                raise got
            else:
                yield part, got
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _pieces(call: Call, part: Part) -> AsyncGenerator[Piece, None]:
    """The pieces of one answer, within the time of the request; whatever happens is logged once."""
    status, code = 500, "internal_error"
    try:
        async with aclosing(call.service.engine.generate(part.request)) as found:  # type: ignore[type-var]
            while part.answer.finish is None:
                async with asyncio.timeout_at(call.deadline):
                    piece: Piece | None = await anext(found, None)
                if piece is None:
                    raise EngineError("The engine ended the answer without saying why.")
                part.answer.take(piece, call.elapsed())
                part.ticket.started()
                if piece.finish is not None:
                    status, code = 200, ""
                yield piece
    except TimeoutError as error:
        status, code = 504, "timeout"
        raise timed_out(call) from error
    except EngineError as error:
        status, code = error.status, error.code
        raise ApiError(error.status, str(error), error.code) from error
    except (asyncio.CancelledError, GeneratorExit):
        status, code = (status, code) if status == 200 else (GONE, "cancelled")
        raise
    except Exception as error:
        LOG.exception("%s: the engine failed", part.id)
        raise ApiError(500, "The engine failed. The server's log says why, under this request's id.", "internal_error") from error
    finally:
        _end(call, part, status, code)


def timed_out(call: Call) -> ApiError:
    """504."""
    return ApiError(504, f"There was no answer within {call.service.settings.timeout_seconds:g} seconds.", "timeout")


def _end(call: Call, part: Part, status: int, code: str) -> None:
    """Give the place back, count and log; only the first time."""
    part.ticket.close()
    if part.done:
        return
    part.done = True
    answer, usage = part.answer, part.answer.usage
    call.log(
        part.id,
        status,
        shadow_of=part.shadow_of,
        prompt=part.prompt,
        answer=answer.told if answer.pieces else None,
        prompt_tokens=usage.prompt_tokens if usage else 0,
        completion_tokens=usage.completion_tokens if usage else 0,
        cached_tokens=usage.cached_tokens if usage else 0,
        queue_seconds=(usage.queue_seconds if usage else None) or 0.0,
        first_token_seconds=answer.first_seconds,
        finish=answer.finish if status == 200 else "cancelled" if status == GONE else "error",
        mean_logprob=answer.mean_logprob,
        format_ok=_format_ok(part.request, answer) if status == 200 else None,
        error=code or None,
    )
    if status == 200:
        call.gate.took(call.elapsed())
        call.service.count_answer(call, answer)
    else:
        call.service.count_failure(call, status)


def _format_ok(request: Request, answer: Answer) -> bool | None:
    """Whether the answer keeps what was asked of its form: a call that was required, the tools' own schemas, a JSON schema."""
    if answer.calls or request.required:
        return calls_ok(request.tools, [(one.name or "", one.arguments) for one in answer.calls.values()])
    return format_ok(request.sampling.schema, answer.text)
