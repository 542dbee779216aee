"""GET /v1/models: the names that a caller may ask for, and which version stands behind each."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from tunewright.serve.auth import authorised, caller
from tunewright.serve.replies import ModelCard, ModelList
from tunewright.serve.routes.shared import Json, errors_described, service_of
from tunewright.serve.routing import choose, unknown
from tunewright.serve.service import Service

router = APIRouter()


def _told(answer: str) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{answer}"}}}
    return {"responses": {"200": {"description": "the answer", "content": content}} | errors_described((401, 403, 404, 429, 503))}


@router.get("/v1/models", openapi_extra=_told(ModelList.__name__), summary="List the models")
async def models(request: Request) -> Response:
    service = service_of(request)
    who = caller(request, authorised(service, request, "infer"))
    return Json({"object": "list", "data": [_card(service, name, who) for name in service.table.names()]})


@router.get("/v1/models/{model:path}", openapi_extra=_told(ModelCard.__name__), summary="Say what a model is")
async def model(request: Request, model: str) -> Response:
    service = service_of(request)
    who = caller(request, authorised(service, request, "infer"))
    if model not in service.table.names():
        raise unknown(service.table, model)
    return Json(_card(service, model, who))


def _card(service: Service, name: str, who: str) -> dict[str, Any]:
    table = service.table
    choice = choose(table, name, who)
    made = table.created.get(choice.version, "") if choice.version is not None else ""
    created = int(datetime.fromisoformat(made).timestamp()) if made else 0
    loaded = choice.name in service.fleet.loaded
    return {"id": name, "object": "model", "created": created, "owned_by": "tunewright", "version": choice.name, "loaded": loaded}
