"""The gateway: the API's paths in the dashboard role, so that browsers know one origin only.

The pages' own files, logins and /-/healthy are answered here; the live stream is relayed; everything else is asked of
the service. Who may ask is decided here, by the same guard and token; a browser's own credentials go no further.
"""

from __future__ import annotations

import logging
from urllib.parse import quote

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import Response
from starlette.types import ASGIApp

from monitor_core.service import assets, stream
from monitor_core.service.access import Problem, Token
from monitor_core.service.api import ASSETS, add_error_answers, guarded
from monitor_core.service.backend import Answer, Backend
from monitor_core.service.health import LOOPBACK
from monitor_core.service.original_api import json
from monitor_core.service.relay import Relay
from monitor_core.settings import Settings

log = logging.getLogger("monitor.gateway")

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
# No cookie and no Authorization: they are for this server. No Origin: the guard has looked at it, and it is not the
# service's. No Accept-Encoding: both are near each other.
PASSED_ON = ("accept", "content-type", "content-encoding", "if-none-match", "if-modified-since")


class Gateway:
    """What the dashboard's server has instead of a service; nothing of it is on disk."""

    def __init__(self, settings: Settings, backend: Backend | None = None) -> None:
        self.settings = settings
        self.address = "127.0.0.1"
        self.backend = backend or Backend(settings.backend_url, settings.token())
        self.relay = Relay(self.backend.events)

    def start(self) -> None:
        if self.settings.api_token is None and self.address not in LOOPBACK:
            log.warning("these pages can be reached from other machines and ask for no token: set API_TOKEN")

    def end_streams(self) -> None:
        self.relay.end()

    def stop(self) -> None:
        self.backend.close()


def build_gateway_api(gateway: Gateway) -> ASGIApp:
    """The API's paths, guarded as the service guards them."""
    token = Token(gateway.settings.token())
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.include_router(assets.router(ASSETS))
    app.include_router(stream.own_router(token))
    app.include_router(router(gateway.backend, gateway.relay))
    add_error_answers(app)
    return guarded(app, token, gateway.settings, gateway.address)


def router(backend: Backend, relay: Relay) -> APIRouter:
    """/api/stream, /-/ready, and everything else as the service answers it."""
    routes = APIRouter()

    @routes.get("/api/stream")
    async def live(topic: str = "overview", host: str | None = None) -> Response:
        return stream.stream_response(await relay.follow(*stream.chosen(topic, host)))

    @routes.get("/-/ready")
    async def ready() -> Response:
        try:
            return response(await backend.ask("GET", "/-/ready", read_seconds=backend.silent_seconds))
        except Problem as problem:
            return json({"ready": False, "problems": [problem.detail]}, 503)

    @routes.api_route("/{path:path}", methods=METHODS)
    async def forward(request: Request) -> Response:
        headers = {name: request.headers[name] for name in PASSED_ON if name in request.headers}
        return response(await backend.ask(request.method, target(request), headers, await request.body()))

    return routes


def target(request: Request) -> str:
    """Path and query as the service shall read them. Raises Problem."""
    path = request.scope["path"]
    # The guard has judged this very path. /assets/ is open to everybody, so nothing below it may come out elsewhere.
    if path.startswith("/assets/") or not {".", ".."}.isdisjoint(path.split("/")):
        raise Problem(404, "There is nothing here.")
    query = request.scope["query_string"].decode("latin-1")
    return quote(path) + (f"?{query}" if query else "")


def response(answer: Answer) -> Response:
    return Response(answer.body, answer.status, answer.headers)
