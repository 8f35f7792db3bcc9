"""The original's endpoints: /ingest, /metrics, /predict, /anomaly, /anomalies, with its bodies and its answers."""

from __future__ import annotations

import asyncio
import csv
import io
from datetime import UTC, datetime
from typing import Any

import numpy as np
import orjson
from fastapi import APIRouter, Request
from fastapi.responses import Response

from monitor_core.detection import explanation
from monitor_core.frame import DEFAULT_HOST, HOST_PATTERN, FloatArray, Frame, IntArray, Rejection, make_frame
from monitor_core.incidents import Kind, Severity
from monitor_core.metrics import METRICS
from monitor_core.scores import DETECTORS, Scores
from monitor_core.service import explaining
from monitor_core.service.access import Problem
from monitor_core.service.bootstrap import Service
from monitor_core.sources.payload import BadBody, parse_body, parse_sample, parse_time
from monitor_core.storage.journal import EntryKind
from monitor_core.storage.timeseries import Anomaly
from monitor_core.storage.writer import StateUnavailable

TEN_MINUTES_MS = 600_000
DAY_MS = 86_400_000
LARGE_BODY = 64 * 1024
MAX_POINTS = 10_000


def json(data: Any, status: int = 200) -> Response:
    """orjson, NaN as null."""
    body = orjson.dumps(data, option=orjson.OPT_SERIALIZE_NUMPY)
    return Response(body, status, media_type="application/json")


def router(service: Service) -> APIRouter:
    """Routes of the original product, at the root."""
    routes = APIRouter(tags=["original"])
    _add_samples(routes, service)
    _add_verdicts(routes, service)
    return routes


def _add_samples(routes: APIRouter, service: Service) -> None:
    @routes.post("/ingest", summary="Take samples: one, a list, or columns")
    async def ingest(request: Request) -> Response:
        return Response(await ingest_body(service, await request.body()), media_type="application/json")

    @routes.get("/metrics", summary="The last ten minutes of a host")
    async def metrics(
        host: str | None = None, start: str | None = None, stop: str | None = None, max_points: int = 2_000
    ) -> Response:
        now = service.clock.now_ms()
        begin = when(start, now, now - TEN_MINUTES_MS)
        end = when(stop, now, now + 1)
        question = (host_name(host or default_host(service)), begin, end, points(max_points))
        remembered = service.history.remembered(*question)
        if remembered is None:
            body = await asyncio.to_thread(lambda: metrics_body(question[0], *service.history.samples(*question)))
        else:  # too little work for another thread
            body = metrics_body(question[0], *remembered)
        return Response(body, media_type="application/json")


def _add_verdicts(routes: APIRouter, service: Service) -> None:
    @routes.post("/predict", summary="Is this abnormal? Limits first, then the models")
    async def predict(request: Request, dry_run: bool = False) -> Response:
        now = service.clock.now_ms()
        try:
            parsed = parse_sample(await request.body(), now)
        except BadBody as error:
            raise Problem(error.status, error.detail) from None
        if not len(parsed.frame):
            raise Problem(422, parsed.rejected[0].reason, rejected=[rejection_view(r) for r in parsed.rejected])
        frame = parsed.frame if parsed.timestamp_given else _at_its_time(service, parsed.frame)
        with service.pipeline.lock:
            asked = explaining.now_of(service.judge, frame)
            limits = service.judge.scorer.limits_of(frame.hosts)[0]
            why = explaining.reasons(asked)
            concerned = (frame.hosts[0], Kind.ABNORMAL) in service.judge.desk.open
        answer = prediction(frame, asked.scores, limits, anomaly=asked.since is not None) | why
        if not dry_run and (concerned or answer["prediction"] == "anomaly"):
            await durably(service, frame, EntryKind.ASKED)
        return json(answer)

    @routes.post("/anomaly", summary="Keep an anomaly that somebody else found")
    async def anomaly(request: Request) -> Response:
        now = service.clock.now_ms()
        try:
            parsed = parse_body(await request.body(), now)
        except BadBody as error:
            raise Problem(error.status, error.detail) from None
        if not len(parsed.frame):
            raise Problem(422, parsed.rejected[0].reason, rejected=[rejection_view(r) for r in parsed.rejected])
        await durably(service, parsed.frame, EntryKind.ANOMALY)
        return json({"status": "success"})

    @routes.get("/anomalies", summary="The anomaly log, newest first")
    async def anomalies(
        host: str | None = None,
        since: str | None = None,
        until: str | None = None,
        limit: int = 10_000,
        format: str = "json",  # noqa: A002 - the query parameter's name
    ) -> Response:
        now = service.clock.now_ms()
        start, stop = when(since, now, now - 30 * DAY_MS), when(until, now, now + DAY_MS)
        most = max(1, min(limit, 100_000))
        found = await asyncio.to_thread(service.store.anomalies, start, stop, host, most)
        rows = [anomaly_view(item) for item in found]
        if format == "csv":
            return csv_response("anomalies.csv", rows, ("_time", "host", *METRICS, "score", "reason", "incident"))
        return json(rows)


async def ingest_body(service: Service, body: bytes) -> bytes:
    """Parse, commit, and what to answer. Raises Problem."""
    now = service.clock.now_ms()
    try:
        large = len(body) > LARGE_BODY
        parsed = await asyncio.to_thread(parse_body, body, now) if large else parse_body(body, now)
    except BadBody as error:
        service.counters.refuse([(error.detail, "")])
        raise Problem(error.status, error.detail) from None
    rejected = [rejection_view(item) for item in parsed.rejected]
    if rejected:
        service.counters.refuse([(item.reason, "") for item in parsed.rejected])
    service.counters.ignored_fields += parsed.ignored_fields
    if not len(parsed.frame):
        raise Problem(422, parsed.rejected[0].reason, rejected=rejected, accepted=0)
    await durably(service, parsed.frame)
    return orjson.dumps(
        {
            "status": "success",
            "timestamp": isoformat(int(parsed.frame.time[0])),
            "accepted": len(parsed.frame),
            "rejected": rejected,
        }
    )


async def durably(service: Service, frame: Frame, kind: EntryKind = EntryKind.SAMPLES) -> None:
    """Return once it is on disk; 429 while too much waits to be scored, 503 when it cannot be."""
    if service.pipeline.is_full:
        raise Problem(429, "Nothing was taken: too many samples wait to be scored.", {"Retry-After": "1"})
    try:
        if kind is EntryKind.SAMPLES:
            await service.gathering.accept(frame)
        else:
            await asyncio.wrap_future(service.pipeline.accept(frame, kind))
    except StateUnavailable as error:
        raise Problem(503, f"Nothing was taken: {error}", {"Retry-After": "5"}) from None


def when(text: str | None, now: int, default: int) -> int:
    """A query parameter as ms UTC: RFC 3339, epoch or -1h."""
    if text is None:
        return default
    try:
        return parse_time(text, now)
    except ValueError:
        raise Problem(422, "A time is RFC 3339, an epoch or relative as in -1h.") from None


def points(asked: int) -> int:
    if not 1 <= asked <= MAX_POINTS:
        raise Problem(422, f"max_points is from 1 to {MAX_POINTS}.")
    return asked


def host_name(host: str) -> str:
    if not HOST_PATTERN.match(host):
        raise Problem(422, "A host name has letters, digits and . _ : - only, at most 253 of them.")
    return host


def default_host(service: Service) -> str:
    """`default`, or this machine's own name when nothing was ever posted for `default`."""
    return DEFAULT_HOST if DEFAULT_HOST in service.pipeline.known else service.settings.host_name


def isoformat(ms: int) -> str:
    """As the original prints times."""
    moment = datetime.fromtimestamp(ms / 1000, UTC)
    return str(moment)


def metrics_body(host: str, time: IntArray, values: FloatArray) -> bytes:
    """GET /metrics: a column for the times and for each metric."""
    if not len(time):
        return orjson.dumps({"message": "No data found"})
    columns = np.ascontiguousarray(np.round(values, 3).T)
    answer = {"timestamps": orjson.Fragment(isoformats(time)), **dict(zip(METRICS, columns, strict=True)), "host": host}
    return orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)


def isoformats(time: IntArray) -> bytes:
    """A JSON array of each instant as `isoformat` prints it."""
    option = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NAIVE_UTC
    return orjson.dumps(time.astype("datetime64[ms]"), option=option).replace(b"T", b" ")


def rejection_view(item: Rejection) -> dict[str, Any]:
    return {"index": item.index, "field": item.field, "reason": item.reason}


def anomaly_view(item: Anomaly) -> dict[str, Any]:
    """As the original gave them, with host, score, reason and incident beside."""
    values = dict(zip(METRICS, item.values, strict=False))
    return {
        "_time": isoformat(item.time),
        **values,
        "host": item.host,
        "score": item.score,
        "reason": item.reason,
        "incident": item.incident_id,
    }


def prediction(frame: Frame, scores: Scores, limits: np.ndarray, *, anomaly: bool) -> dict[str, Any]:
    """The original's answer and why."""
    breach = bool(scores.breach[0].any())
    score = float(scores.score[0])
    found = explanation.evidence(frame.values, scores, limits, 0)
    answer: dict[str, Any] = {"prediction": "anomaly" if anomaly else "normal", "score": score}
    if anomaly:
        answer["reason"] = "Threshold exceeded" if breach else "ML model"
        answer["severity"] = Severity.CRITICAL if breach else Severity.WARNING
    votes = zip(DETECTORS, scores.by_detector[0].tolist(), strict=True)
    return answer | {
        "host": frame.hosts[0],
        "warming_up": not bool(scores.warm[0]),
        "model_version": scores.model_version,
        "detectors": {name: None if np.isnan(vote) else vote for name, vote in votes},
        "contributions": {item.metric: item.contribution for item in found},
        "sentence": explanation.sentence(found[0]),
    }


def csv_response(name: str, rows: list[dict[str, Any]], columns: tuple[str, ...]) -> Response:
    """Text cells that a spreadsheet would run as a formula are quoted."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(columns)
    writer.writerows([[_cell(row.get(column)) for column in columns] for row in rows])
    return Response(
        out.getvalue(),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f"attachment; filename={name}"},
    )


def _cell(value: Any) -> Any:
    text = isinstance(value, str) and value[:1] in {"=", "+", "-", "@", "\t", "\r"}
    return f"'{value}" if text else value


def _at_its_time(service: Service, frame: Frame) -> Frame:
    """A body without a time: the newest sample of its host when the values are those, else now.

    The original's page asks about its newest sample again and again; the same sample counts once.
    """
    host = frame.hosts[0]
    row = service.live.latest.find(host)
    asked = frame.values[0]
    if row is None:
        return frame
    newest = service.live.latest.values[row]
    same = np.array_equal(newest[~np.isnan(asked)], asked[~np.isnan(asked)])
    time = int(service.live.latest.time[row]) if same else int(frame.time[0])
    return make_frame([time], [host], frame.values, bool(frame.simulated[0]))
