"""GET /health (alive), /ready (can take requests), /metrics (Prometheus)."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import Response

from tunewright import __version__
from tunewright.serve.auth import authorised
from tunewright.serve.routes.shared import Json, errors_described, service_of

router = APIRouter()
_STATE = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/State"}}}}
_HEALTH = {"responses": {"200": {"description": "the process answers", **_STATE}} | errors_described((403,))}
_READY = {
    "responses": {"200": {"description": "requests are welcome", **_STATE}, "503": {"description": "not now", **_STATE}}
    | errors_described((403,))
}
_METRICS: dict[str, Any] = {
    "responses": {"200": {"description": "Prometheus' text format", "content": {"text/plain": {"schema": {"type": "string"}}}}}
    | errors_described((401, 403, 429))
}


@router.get("/health", openapi_extra=_HEALTH, summary="Alive?")
async def health(request: Request) -> Response:
    return Json({"status": "ok", "version": __version__})


@router.get("/ready", openapi_extra=_READY, summary="Ready for requests?")
async def ready(request: Request) -> Response:
    service = service_of(request)
    state = "ready"
    if service.draining:
        state = "shutting down"
    elif not service.ready:
        state = "starting"
    table = service.table
    # A full queue is answered by 429 to who asks. Were it 503 here, a load balancer would take every full replica away at once.
    shown = {"champion": table.champion, "challenger": table.challenger, "loaded": sorted(service.fleet.loaded)}
    shown["queue_full"] = service.gate.full
    return Json({"status": state, "model": table.model, **shown}, status_code=200 if state == "ready" else 503)


@router.get("/metrics", openapi_extra=_METRICS, summary="Metrics for Prometheus")
async def metrics(request: Request) -> Response:
    service = service_of(request)
    authorised(service, request, "metrics")
    return Response(service.page(), media_type=CONTENT_TYPE_LATEST)
