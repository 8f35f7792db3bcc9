"""/api/v1 and what the pages ask beside it: state, fleet, hosts, series, incidents, system."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
from fastapi import APIRouter, Body
from fastapi.responses import Response

from monitor_core import __version__
from monitor_core.frame import make_frame
from monitor_core.incidents import IllegalMove, Incident, Kind, State
from monitor_core.incidents import acknowledge as acknowledged
from monitor_core.metrics import METRICS
from monitor_core.service import budget_api, explaining, health, labels_api, views
from monitor_core.service.access import Problem
from monitor_core.service.bootstrap import Service, today
from monitor_core.service.labels_api import MAX_NOTE, row_id
from monitor_core.service.original_api import csv_response, host_name, isoformat, json, points, when
from monitor_core.service.staging import stages
from monitor_core.storage.state import LABEL_CHOICES, Decided

DAY_MS = 86_400_000
RANGES_MS = {"15m": 900_000, "1h": 3_600_000, "6h": 21_600_000, "24h": DAY_MS, "7d": 7 * DAY_MS, "30d": 30 * DAY_MS}
FLEET_POINTS = 300
EARLIER = 20


def router(service: Service) -> APIRouter:
    """Everything under /api but the stream."""
    routes = APIRouter(prefix="/api")
    for part in (
        _overview(service),
        _hosts(service),
        _incidents(service),
        labels_api.router(service),
        budget_api.router(service),
    ):
        routes.include_router(part)
    return routes


def _overview(service: Service) -> APIRouter:
    routes = APIRouter(tags=["pages"])

    @routes.get("/state", summary="Everything the first page shows at its start")
    async def state() -> Response:
        return json(await asyncio.to_thread(_state, service))

    @routes.get("/fleet", summary="5 %, 50 % and 95 % of the hosts over time")
    async def fleet(range: str = "1h") -> Response:  # noqa: A002 - the query parameter's name
        span = RANGES_MS.get(range)
        if span is None:
            raise Problem(422, f"range is one of {', '.join(RANGES_MS)}.")
        now = service.clock.now_ms()
        time, spread = await asyncio.to_thread(service.history.fleet, now - span, now, FLEET_POINTS)
        names = ("low", "median", "high")
        columns = {
            key: {name: np.round(spread[:, m, q], 2).tolist() for q, name in enumerate(names)}
            for m, key in enumerate(METRICS)
        }
        return json({"time": time.tolist(), **columns})

    @routes.get("/v1/system", summary="How the process is doing, step by step")
    async def system() -> Response:
        return json(await asyncio.to_thread(health.system_view, service))

    return routes


def _hosts(service: Service) -> APIRouter:
    routes = APIRouter(prefix="/v1", tags=["hosts"])

    @routes.get("/hosts", summary="Every host with its newest sample")
    async def hosts() -> Response:
        return json({"hosts": await asyncio.to_thread(hosts_view, service)})

    @routes.get("/series", summary="One host over time, from the finest tier that fits")
    async def series(host: str, start: str | None = None, stop: str | None = None, max_points: int = 1_000) -> Response:
        now = service.clock.now_ms()
        begin, end = when(start, now, now - RANGES_MS["1h"]), when(stop, now, now + 1)
        if begin >= end:
            raise Problem(422, "start is before stop.")
        args = (host_name(host), begin, end, points(max_points))
        found = await asyncio.to_thread(service.history.series, *args)
        return json(views.series_view(found))

    @routes.get("/series.csv", summary="The same as CSV")
    async def series_csv(
        host: str, start: str | None = None, stop: str | None = None, max_points: int = 1_000
    ) -> Response:
        now = service.clock.now_ms()
        begin, end = when(start, now, now - RANGES_MS["1h"]), when(stop, now, now + 1)
        args = (host_name(host), begin, end, points(max_points))
        found = await asyncio.to_thread(service.history.series, *args)
        values = np.round(found.mean, 2).tolist()
        rows = [
            {"time": isoformat(at), **dict(zip(METRICS, values[i], strict=True)), "score": found.score[i]}
            for i, at in enumerate(found.time.tolist())
        ]
        return csv_response("series.csv", rows, ("time", *METRICS, "score"))

    @routes.get("/explanation", summary="Why a host's sample is unusual, since when, and what would be normal")
    async def explained(host: str, time: str | None = None) -> Response:
        now = service.clock.now_ms()
        at = None if time is None else when(time, now, now)
        try:
            return json(await asyncio.to_thread(_explained, service, host_name(host), at))
        except explaining.NothingKept as error:
            raise Problem(404, str(error)) from None

    @routes.post("/hosts/{name}/forget", summary="End what is open about a host and remove what is kept of it")
    async def forget(name: str) -> Response:
        if not await asyncio.to_thread(service.pipeline.forget, host_name(name)):
            raise Problem(404, "No such host.")
        await asyncio.to_thread(service.store.forget, name)
        service.history.forget(name)
        service.live.forget(name)
        return json({"forgotten": name})

    return routes


def _incidents(service: Service) -> APIRouter:
    routes = APIRouter(prefix="/v1", tags=["incidents"])

    @routes.get("/incidents", summary="The log of incidents, newest first")
    async def incidents(
        state: str | None = None,
        host: str | None = None,
        since: str | None = None,
        until: str | None = None,
        limit: int = 200,
        label: str | None = None,
    ) -> Response:
        found = await asyncio.to_thread(_find, service, state, host, since, until, limit + 1, label)
        following = found[limit - 1].opened_at if len(found) > limit else None
        return json({"incidents": found[:limit], "next": following})

    @routes.get("/incidents.csv", summary="The log of incidents as CSV")
    async def incidents_csv(
        state: str | None = None,
        host: str | None = None,
        since: str | None = None,
        until: str | None = None,
        label: str | None = None,
    ) -> Response:
        found = await asyncio.to_thread(_find, service, state, host, since, until, 10_000, label)
        columns = ("id", "host", "kind", "state", "severity", "reason", "opened_at", "resolved_at", "title", "detail")
        rows = [views.incident_view(i) | {"opened_at": isoformat(i.opened_at)} for i in found]
        for row in rows:
            row["resolved_at"] = isoformat(row["resolved_at"]) if row["resolved_at"] else ""
        return csv_response("incidents.csv", rows, (*columns, "score", "peak_score", "simulated", "note", "label"))

    @routes.get("/incidents/{incident_id}", summary="One incident with its timeline")
    async def incident(incident_id: int) -> Response:
        found = await asyncio.to_thread(service.state.incident, row_id(incident_id))
        if found is None:
            raise Problem(404, "No such incident.")
        events = service.state.timeline(found.id)
        lines = views.timeline_view(found, events, service.state.notifications(found.id))
        labelled = await asyncio.to_thread(labels_api.labelled_view, service, found.id)
        return json(views.incident_view(found) | {"timeline": lines, "labelled": labelled})

    @routes.post("/incidents/{incident_id}/acknowledge", summary="Somebody has seen it; an optional note")
    async def acknowledge(
        incident_id: int, note: str | None = Body(default=None, embed=True, max_length=MAX_NOTE)
    ) -> Response:
        return json(await asyncio.to_thread(_acknowledge, service, row_id(incident_id), note))

    return routes


def _state(service: Service) -> dict[str, Any]:
    now = service.clock.now_ms()
    earlier = service.state.incidents(now - DAY_MS, now + 1, state=State.RESOLVED, limit=EARLIER)
    first_seen = [host.first_seen for host in service.pipeline.known.values()]
    return {
        "version": __version__,
        "now": now,
        "interval_ms": int(service.settings.sample_interval_seconds * 1000),
        "started_at": service.started_at,
        "watching_since": min(first_seen, default=service.started_at),
        "public_url": service.settings.public_url,
        "metrics": views.metrics_view([service.settings.limits().get(key) for key in METRICS]),
        "hosts": hosts_view(service),
        "incidents": sorted(service.judge.desk.open.values(), key=lambda incident: -incident.opened_at),
        "earlier": earlier,
        "today": today(service.counters, service.state, [channel.name for channel in service.channels]),
        "channels": [channel.name for channel in service.channels],
        "threshold": service.settings.alarm_score,
        "notices": health.page_notices(service),
        "history": _history_view(service),
    }


def _history_view(service: Service) -> dict[str, Any]:
    progress = [collector.progress for collector in service.collectors if collector.progress is not None]
    if not progress:
        return {"state": "none", "progress": 1.0}
    return {"state": "done" if min(progress) >= 1 else "filling", "progress": round(min(progress), 3)}


def hosts_view(service: Service) -> list[dict[str, Any]]:
    """Every known host with what it showed last."""
    with service.pipeline.lock:
        known = dict(service.pipeline.known)
        judge, now, trains = service.judge, service.clock.now_ms(), service.settings.train_at_hour >= 0
        learned = stages(judge, known, sorted(known), now, trains)
        return views.hosts_view(known, service.live, judge.scorer.state, learned, now)


def _explained(service: Service, host: str, at: int | None) -> dict[str, Any]:
    judge, latest = service.judge, service.live.latest
    row = latest.find(host)
    if row is not None and latest.time[row] > 0 and (at is None or at >= latest.time[row]):
        frame = make_frame([latest.time[row]], [host], latest.values[row])
        with service.pipeline.lock:
            return explaining.view(explaining.now_of(judge, frame))
    until = service.clock.now_ms() if at is None else at
    then = service.state.incidents(until, until + 1, host)
    incident = next((found for found in then if found.kind is Kind.ABNORMAL), None)
    return explaining.view(explaining.past_of(service.history, judge, host, until, incident))


def _find(
    service: Service,
    state: str | None,
    host: str | None,
    since: str | None,
    until: str | None,
    limit: int,
    label: str | None,
) -> list[Incident]:
    if state not in (None, "open", "resolved"):
        raise Problem(422, "state is open or resolved.")
    if label is not None and label not in LABEL_CHOICES:
        raise Problem(422, f"label is one of {', '.join(LABEL_CHOICES)}.")
    if not 1 <= limit <= 10_001:
        raise Problem(422, "limit is from 1 to 10000.")
    now = service.clock.now_ms()
    start, stop = when(since, now, now - 30 * DAY_MS), when(until, now, now + 1)
    return service.state.incidents(start, stop, host, state, limit, label)


def _acknowledge(service: Service, incident_id: int, note: str | None) -> Incident:
    with service.pipeline.lock:
        found = service.state.incident(incident_id)
        if found is None:
            raise Problem(404, "No such incident.")
        try:
            changed = acknowledged(found, service.clock.now_ms(), note)
        except IllegalMove as error:
            raise Problem(409, f"{str(error).capitalize()}.") from None
        service.state.commit(Decided(incidents=[changed]))
        service.judge.desk.replace_open(changed)
    service.live.incidents()
    return changed
