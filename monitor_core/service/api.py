"""The HTTP API as one ASGI application: guard, routes, error answers, documentation without a CDN."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send
from swagger_ui_bundle import swagger_ui_path

from monitor_core import __version__
from monitor_core.service import assets, models_api, original_api, stream, v1_api
from monitor_core.service.access import Guard, Problem, Token, names_of, problem_response
from monitor_core.service.bootstrap import Service
from monitor_core.settings import Settings
from monitor_core.storage.timeseries import StoreUnavailable
from monitor_core.storage.writer import StateUnavailable

log = logging.getLogger("monitor.api")

ASSETS = Path(__file__).parent.parent / "dashboard" / "assets"
PATHS = frozenset({"/ingest", "/metrics", "/predict", "/anomaly", "/anomalies", "/health", "/ping", "/docs"})
PREFIXES = ("/api/", "/-/", "/assets/", "/docs/", "/openapi.json")


def is_api_path(path: str) -> bool:
    """Does this path belong to the API (and not to the pages)?"""
    return path in PATHS or path.startswith(PREFIXES)


def build_api(service: Service) -> ASGIApp:
    """The whole API of a built service, guarded."""
    settings = service.settings
    token = Token(settings.token())
    app = FastAPI(title="Smart Infra Monitor", version=__version__, docs_url=None, redoc_url=None)
    app.include_router(original_api.router(service))
    app.include_router(v1_api.router(service))
    app.include_router(models_api.router(service))
    app.include_router(stream.router(service, token))
    app.include_router(assets.router(ASSETS))
    _add_docs(app)
    add_error_answers(app)
    return guarded(IngestFirst(app, service), token, settings, service.address)


def guarded(app: ASGIApp, token: Token, settings: Settings, address: str) -> ASGIApp:
    """Behind the guard, and open to the pages elsewhere that the settings name. `address` is listened on."""
    names = names_of(address, token, settings.public_url)
    own = Guard(app, token, settings.max_body_bytes, settings.cors_origins, names)
    for_pages = CORSMiddleware(
        own,
        allow_origins=list(settings.cors_origins),
        allow_methods=["GET", "POST"],
        allow_headers=["Content-Type", "Authorization"],
        allow_credentials=True,
    )

    async def by_origin(scope: Scope, receive: Receive, send: Send) -> None:
        # only browsers name an origin; for a collector's posts the rules for pages would be a tenth of the cost
        is_from_page = any(name == b"origin" for name, _ in scope.get("headers", ()))
        await (for_pages if is_from_page else own)(scope, receive, send)

    return by_origin


class IngestFirst:
    """POST /ingest without a web framework in between, which would take more CPU than everything behind it.

    The route of the same path in `original_api` documents it.
    """

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app, self._service = app, service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != "/ingest" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        parts, more = [], True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            parts.append(message.get("body", b""))
            more = message.get("more_body", False)
        answer = await original_api.ingest_body(self._service, b"".join(parts))
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})


def _add_docs(app: FastAPI) -> None:
    app.mount("/docs/ui", StaticFiles(directory=str(swagger_ui_path)))

    @app.get("/docs", include_in_schema=False)
    def docs() -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url="/openapi.json",
            title="Smart Infra Monitor API",
            swagger_js_url="/docs/ui/swagger-ui-bundle.js",
            swagger_css_url="/docs/ui/swagger-ui.css",
            swagger_favicon_url="/docs/ui/favicon-32x32.png",
        )


def add_error_answers(app: FastAPI) -> None:
    """Every failure in the form of RFC 9457, in a sentence of ours."""

    async def of_problem(_: Request, error: Any) -> Response:
        return problem_response(error)

    async def of_validation(_: Request, error: Any) -> Response:
        places = [".".join(str(part) for part in fault["loc"] if part != "body") for fault in error.errors()]
        return problem_response(Problem(422, f"Not usable: {', '.join(dict.fromkeys(places)) or 'the body'}."))

    async def of_http(_: Request, error: Any) -> Response:
        headers = dict(error.headers or {})
        return problem_response(Problem(error.status_code, "There is nothing here.", headers))

    async def of_outage(_: Request, error: Any) -> Response:
        return problem_response(Problem(503, f"Not now: {error}", {"Retry-After": "5"}))

    async def of_one_who_left(_: Request, __: Any) -> Response:
        return Response(status_code=400)  # nobody hears it

    async def of_fault(_: Request, error: Exception) -> Response:
        log.error("a request failed", exc_info=error)
        return problem_response(Problem(500, "A fault of ours; the log has it."))

    app.add_exception_handler(Problem, of_problem)
    app.add_exception_handler(RequestValidationError, of_validation)
    app.add_exception_handler(HTTPException, of_http)
    app.add_exception_handler(StoreUnavailable, of_outage)
    app.add_exception_handler(StateUnavailable, of_outage)
    app.add_exception_handler(ClientDisconnect, of_one_who_left)
    app.add_exception_handler(Exception, of_fault)
