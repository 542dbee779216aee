"""The app: OpenAI's API and ours over one model's versions. `create_app` is all that a launcher needs.

app = create_app(Setup("registry/reviews", needs_key=False))     # nothing is loaded yet
uvicorn.run(app)                                                 # loaded in the lifespan, given back at its end

edge.py      what holds for every request          body.py, schemas.py   from bytes to a checked body
auth.py      keys and rates                        routing.py            which version answers
call.py      one request                           answers.py, labels.py what the engine says, in time, logged
service.py   what all requests share               fleet.py, watch.py    versions in memory, hot reload
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from pydantic.json_schema import models_json_schema
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from tunewright import __version__
from tunewright.serve.edge import Edge
from tunewright.serve.errors import ApiError
from tunewright.serve.replies import SCHEMAS
from tunewright.serve.routes import chat, classify, completions, explain, feedback, models, operations
from tunewright.serve.routes.shared import Json
from tunewright.serve.schemas import ChatBody, ClassifyBody, CompletionBody, ExplainBody, FeedbackBody
from tunewright.serve.service import Service, Setup

BODIES = (ChatBody, CompletionBody, ClassifyBody, ExplainBody, FeedbackBody)
ROUTES = (chat, completions, models, classify, explain, feedback, operations)


def create_app(setup: Setup) -> FastAPI:
    """The ASGI app for `setup`. Raises `TunewrightError` when the target or a setting is wrong."""
    service = Service(setup)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await service.start()
        try:
            yield
        finally:
            await service.stop()

    app = FastAPI(title="Tunewright", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.state.service = service
    app.add_middleware(Edge, service=service)
    app.add_exception_handler(ApiError, _api_error)
    app.add_exception_handler(HTTPException, _http_error)
    for one in ROUTES:
        app.include_router(one.router)
    app.openapi = lambda: _described(app)  # type: ignore[method-assign]
    return app


async def _api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return Json(error.document(), status_code=error.status, headers=error.headers)


async def _http_error(request: Request, error: Exception) -> Response:
    """What the router itself says: no such path, no such method."""
    assert isinstance(error, HTTPException)
    words = {404: "There is no such path. /openapi.json lists them.", 405: "This path does not take this method."}
    codes = {404: "not_found", 405: "method_not_allowed"}
    api = ApiError(error.status_code, words.get(error.status_code, str(error.detail)), codes.get(error.status_code, "http_error"))
    return Json(api.document(), status_code=api.status, headers=error.headers)


def _described(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI description: FastAPI's, with our bodies and answers in it."""
    if app.openapi_schema is None:
        document = FastAPI.openapi(app)
        inputs = [(one, "validation") for one in BODIES] + [(one, "serialization") for one in SCHEMAS]
        _, schemas = models_json_schema(inputs, ref_template="#/components/schemas/{model}")  # type: ignore[arg-type]
        parts = document.setdefault("components", {})
        parts["schemas"] = schemas["$defs"]
        parts["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        for path, methods in document["paths"].items():
            for told in methods.values():
                told.get("responses", {}).pop("422", None)
                if path not in ("/health", "/ready"):
                    told["security"] = [{"key": []}, {}]
        app.openapi_schema = document
    return app.openapi_schema
