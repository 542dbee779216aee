"""POST /v1/feedback: what somebody says of an answer, by the id of the request."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from tunewright.serve.auth import authorised
from tunewright.serve.body import read
from tunewright.serve.errors import bad_request
from tunewright.serve.replies import FeedbackAnswer
from tunewright.serve.routes.shared import Json, described, service_of
from tunewright.serve.schemas import FeedbackBody
from tunewright.traffic.record import Feedback

router = APIRouter()
_DESCRIBED = described(FeedbackBody, FeedbackAnswer)
_DESCRIBED["responses"]["202"] = _DESCRIBED["responses"].pop("200") | {"description": "taken; it is stored within a moment"}


@router.post("/v1/feedback", openapi_extra=_DESCRIBED, status_code=202, summary="Say what an answer was worth")
async def feedback(request: Request) -> Response:
    service = service_of(request)
    authorised(service, request, "feedback")
    body = await read(request, FeedbackBody, service.settings.max_request_bytes)
    now = datetime.now(UTC)
    event = body.event_time.astimezone(UTC) if body.event_time is not None else None
    if event is not None and event > now:
        raise bad_request("event_time: must not be in the future.", "event_time")
    said: list[tuple[Literal["thumb", "answer", "label"], str]] = []
    if body.thumb is not None:
        said.append(("thumb", body.thumb))
    if body.answer is not None:
        said.append(("answer", body.answer))
    if body.label is not None:
        said.append(("label", body.label))
    common = {"time": now, "by": body.by, "event_time": event, "sampled": body.sampled, "note": body.note}
    service.feedback([Feedback(body.request_id, kind, value, **common) for kind, value in said])  # type: ignore[arg-type]
    return Json({"object": "feedback", "request_id": body.request_id, "accepted": [kind for kind, _ in said]}, status_code=202)
