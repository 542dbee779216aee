"""An upstream that answers at once, so that what is measured is the gateway before it. serving_stub.py PORT"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

WORDS = ["Hello", " there", ",", " how", " may", " I", " help", "?"]
USAGE = {"prompt_tokens": 9, "completion_tokens": len(WORDS), "total_tokens": 9 + len(WORDS)}


def document(choice: dict[str, object], **more: object) -> bytes:
    return orjson.dumps({"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice] if choice else [], **more})


def events() -> Iterator[bytes]:
    for word in WORDS:
        yield b"data: " + document({"index": 0, "delta": {"content": word}, "finish_reason": None}) + b"\n\n"
    yield b"data: " + document({"index": 0, "delta": {}, "finish_reason": "stop"}) + b"\n\n"
    yield b"data: " + document({}, usage=USAGE) + b"\n\ndata: [DONE]\n\n"


async def chat(request: Request) -> Response:
    if orjson.loads(await request.body()).get("stream"):
        return StreamingResponse(iter([b"".join(events())]), media_type="text/event-stream")
    message = {"role": "assistant", "content": "".join(WORDS)}
    return Response(document({"index": 0, "message": message, "finish_reason": "stop"}, usage=USAGE), media_type="application/json")


async def health(request: Request) -> Response:
    return Response("ok")


app = Starlette(routes=[Route("/v1/chat/completions", chat, methods=["POST"]), Route("/health", health)])

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
