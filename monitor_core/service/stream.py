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

    @routes.get("/api/stream", summary="Live events: fleet, sample, incidents, job, ping")
    async def stream(topic: str = "overview", host: str | None = None) -> Response:
        if topic not in TOPICS:
            raise Problem(422, f"topic is one of {', '.join(TOPICS)}.")
        name = host_name(host) if host else None
        subscriber = service.live.subscribe("host" if name else topic, name, asyncio.get_running_loop())
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(_events(service, subscriber), media_type="text/event-stream", headers=headers)

    @routes.get("/-/healthy", summary="The process answers")
    async def healthy() -> Response:
        return Response("ok", media_type="text/plain")

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

    @routes.post("/api/session", summary="Trade the API token for a cookie")
    async def session(request: Request, offered: str = Body(alias="token", embed=True, max_length=1_000)) -> Response:
        if not token.matches(offered):
            raise Problem(401, "That is not the token.")
        answer = Response(status_code=204)
        secure = request.url.scheme == "https"
        answer.set_cookie(COOKIE, token.session, SESSION_SECONDS, httponly=True, samesite="strict", secure=secure)
        return answer

    return routes


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
