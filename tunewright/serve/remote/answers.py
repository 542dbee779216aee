"""A request as a body of OpenAI's API, and the events that answer it as pieces.

data: {"choices": [{"index": 0, "delta": {"content": "Hel"}, "finish_reason": null}]}    ->  Piece("Hel")
data: {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 12}}            ->  the last piece, with finish and usage
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from tunewright.serve.engine import CallPart, EngineError, Finish, Piece, Request, TokenScore, Usage

UNKNOWN = -1  # id of a token: OpenAI's API does not tell it


def body_of(request: Request, model: str) -> tuple[str, dict[str, Any]]:
    """The path and the body that ask `model` of the upstream for this answer, streamed."""
    how = request.sampling
    body: dict[str, Any] = {"model": model, "stream": True, "stream_options": {"include_usage": True}}
    body |= {"temperature": how.temperature, "top_p": how.top_p}
    named: dict[str, Any] = {"max_tokens": how.max_tokens, "seed": how.seed, "stop": list(how.stop) or None}
    named |= {"frequency_penalty": how.frequency_penalty or None, "presence_penalty": how.presence_penalty or None}
    body |= {name: value for name, value in named.items() if value is not None}
    if how.schema is not None:
        schema = {"type": "json_schema", "json_schema": {"name": "answer", "schema": dict(how.schema), "strict": True}}
        body["response_format"] = schema if how.schema else {"type": "json_object"}
    if request.tools:
        body |= {"tools": [dict(one) for one in request.tools], "tool_choice": _choice(request)}
    if request.messages is not None:
        if how.logprobs is not None:
            body |= {"logprobs": True, "top_logprobs": how.logprobs}
        return "chat/completions", body | {"messages": [dict(one) for one in request.messages]}
    if how.logprobs is not None:
        body["logprobs"] = how.logprobs
    if request.echo:
        body["echo"] = True
    return "completions", body | {"prompt": request.prompt if isinstance(request.prompt, str) else list(request.prompt or ())}


def _choice(request: Request) -> Any:
    if len(request.required) == 1:
        return {"type": "function", "function": {"name": request.required[0]}}
    return "required" if request.required else "auto"


async def pieces(events: AsyncGenerator[Any, None]) -> AsyncGenerator[Piece, None]:
    """The pieces of one answer. Raises `EngineError` when an event cannot be read."""
    finish: Finish | None = None
    usage, said, logprobs, scored = None, 0, 0.0, 0
    async for event in events:
        try:
            if "error" in event:
                raise EngineError("The upstream failed in the middle of its answer.", 502, "upstream_interrupted")
            if event.get("usage"):
                usage = event["usage"]
            for choice in event.get("choices") or []:
                text, tokens = _content(choice)
                calls = tuple(_call(one) for one in (choice.get("delta") or {}).get("tool_calls") or ())
                said += len(tokens) or bool(text or calls)
                known = [one.logprob for one in tokens if one.logprob is not None]
                logprobs, scored = logprobs + sum(known), scored + len(known)
                if choice.get("finish_reason"):
                    finish = choice["finish_reason"] if choice["finish_reason"] in ("length", "tool_calls") else "stop"
                if text or tokens or calls:
                    yield Piece(text, tokens, calls=calls)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise EngineError(f"The upstream's answer cannot be read: {type(error).__name__}.", 502, "upstream_error") from error
    yield Piece("", (), finish or "stop", _usage(usage or {}, said, logprobs / scored if scored else None))


def _usage(told: dict[str, Any], said: int, mean: float | None) -> Usage:
    cached = (told.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
    return Usage(int(told.get("prompt_tokens") or 0), int(told.get("completion_tokens") or said), int(cached), mean)


def _call(told: dict[str, Any]) -> CallPart:
    function = told.get("function") or {}
    return CallPart(int(told.get("index") or 0), str(function.get("arguments") or ""), told.get("id"), function.get("name"))


def _content(choice: dict[str, Any]) -> tuple[str, tuple[TokenScore, ...]]:
    """Text and tokens of a choice, of chats or of completions."""
    told = choice.get("logprobs") or {}
    if "text" in choice:
        return choice["text"] or "", _columns(told)
    text = (choice.get("delta") or {}).get("content") or ""
    return text, tuple(
        TokenScore(one["token"], UNKNOWN, one["logprob"], tuple((top["token"], top["logprob"]) for top in one.get("top_logprobs") or ()))
        for one in told.get("content") or ()
    )


def _columns(told: dict[str, Any]) -> tuple[TokenScore, ...]:
    tokens = told.get("tokens") or []
    tops = told.get("top_logprobs") or [None] * len(tokens)
    columns = zip(tokens, told.get("token_logprobs") or [], tops, strict=True)
    return tuple(TokenScore(text, UNKNOWN, value, tuple((top or {}).items())) for text, value, top in columns)
