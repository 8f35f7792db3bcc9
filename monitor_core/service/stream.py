"""The live stream (server-sent events), health endpoints and the session that pages log in to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from fastapi import APIRouter, Body, Request
from fastapi.responses import Response, StreamingResponse

from monitor_core import __version__
from monitor_core.service import health
from monitor_core.service.access import COOKIE, Problem, Token
from monitor_core.service.bootstrap import Service
from monitor_core.service.live import PING_SECONDS, Subscriber, encode
from monitor_core.service.original_api import host_name, json

TOPICS = ("overview", "host", "incidents", "models", "system")
SESSION_SECONDS = 30 * 86_400


def router(service: Service, token: Token) -> APIRouter:
    """/api/stream, /-/healthy, /-/ready, /health, /ping, /api/session."""
    routes = APIRouter(tags=["service"])
    service.on_store_change = lambda: service.live.broadcast("notices", {"notices": health.page_notices(service)})
    routes.include_router(own_router(token))

    @routes.get("/api/stream", summary="Live events: fleet, sample, incidents, job, ping")
    async def stream(topic: str = "overview", host: str | None = None) -> Response:
        subscriber = service.live.subscribe(*chosen(topic, host), asyncio.get_running_loop())
        return stream_response(_events(service, subscriber))

    @routes.get("/-/ready", summary="Every part does its work")
    async def ready() -> Response:
        found = await asyncio.to_thread(health.problems, service)
        return json({"ready": not found, "problems": found}, 503 if found else 200)

    @routes.get("/health", summary="pass or fail, as InfluxDB clients ask it")
    async def healthcheck() -> Response:
        found = await asyncio.to_thread(health.problems, service)
        status = "fail" if found else "pass"
        return json({"name": "smart-infra-monitor", "status": status, "version": __version__}, 503 if found else 200)

    @routes.get("/ping", summary="204, as InfluxDB clients ask it")
    async def ping() -> Response:
        return Response(status_code=204, headers={"X-Version": __version__})

    return routes


def own_router(token: Token) -> APIRouter:
    """/-/healthy and /api/session: what a server answers by itself, with the service in this process or elsewhere."""
    routes = APIRouter()

    @routes.get("/-/healthy", summary="The process answers")
    async def healthy() -> Response:
        return Response("ok", media_type="text/plain")

    @routes.post("/api/session", summary="Trade the API token for a cookie")
    async def session(request: Request, offered: str = Body(alias="token", embed=True, max_length=1_000)) -> Response:
        if not token.logs_in(request.scope, offered):
            raise Problem(401, "That is not the token.")
        answer = Response(status_code=204)
        secure = request.url.scheme == "https"
        answer.set_cookie(COOKIE, token.session, SESSION_SECONDS, httponly=True, samesite="strict", secure=secure)
        return answer

    return routes


def chosen(topic: str, host: str | None) -> tuple[str, str | None]:
    """What a stream is about: the page's topic, or one host. Raises Problem."""
    if topic not in TOPICS:
        raise Problem(422, f"topic is one of {', '.join(TOPICS)}.")
    return ("host", host_name(host)) if host else (topic, None)


def stream_response(events: AsyncIterator[bytes]) -> Response:
    """Server-sent events that nothing on the way may keep or gather."""
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(events, media_type="text/event-stream", headers=headers)


async def _events(service: Service, subscriber: Subscriber) -> AsyncIterator[bytes]:
    interval = int(service.settings.sample_interval_seconds * 1000)
    try:
        yield encode("hello", {"now": service.clock.now_ms(), "interval_ms": interval})
        while True:
            try:
                event = await asyncio.wait_for(subscriber.queue.get(), PING_SECONDS)
            except TimeoutError:
                event = encode("ping", {"now": service.clock.now_ms()})
            if event is None:
                return
            yield event
    finally:
        service.live.unsubscribe(subscriber)
