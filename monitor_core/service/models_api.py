"""/api/v1/models and /api/v1/jobs: versions, training, champion and challenger, spans that no training learns from."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Literal

from fastapi import APIRouter, Body
from fastapi.responses import Response

from monitor_core.detection import comparison
from monitor_core.detection.model_registry import ModelDamaged, ModelInfo
from monitor_core.service.access import Problem
from monitor_core.service.bootstrap import Service
from monitor_core.service.excluded import TooManyExcluded
from monitor_core.service.learning import AlreadyTraining, job_view
from monitor_core.service.model_life import NoPredecessor
from monitor_core.service.original_api import host_name, json, when
from monitor_core.service.score_spread import HOUR_MS, HOURS
from monitor_core.service.v1_api import hosts_view

MAX_WHY = 200
SPOKEN_SHOWN = 20


def router(service: Service) -> APIRouter:
    routes = APIRouter(prefix="/api/v1", tags=["models"])
    _add_excluded(routes, service)  # before the versions: `excluded` would be taken for one of them
    _add_versions(routes, service)
    _add_choices(routes, service)
    return routes


def _add_versions(routes: APIRouter, service: Service) -> None:
    @routes.get("/models", summary="Who speaks, who waits, versions, drift, what is excluded, how unusual normal is")
    async def models() -> Response:
        return json(await asyncio.to_thread(_models_view, service))

    @routes.get("/models/{version}", summary="One version, and how it compares with the one that spoke before it")
    async def model(version: int) -> Response:
        return json(await asyncio.to_thread(_version_view, service, version))

    @routes.post("/models/train", summary="Retrain in the background", status_code=202)
    async def train(promote: Literal["rule", "ask"] = "rule") -> Response:
        """`promote=ask`: the new version waits for a person even if it is no worse."""
        reason = service.learning.why_not()
        if reason is not None:
            raise Problem(409, reason)
        try:
            return json(job_view(service.learning.start("by hand", ask=promote == "ask")), 202)
        except AlreadyTraining as error:
            raise Problem(409, "A training is already running.", job=job_view(error.job)) from None

    @routes.get("/jobs", summary="The training that runs, or the last one")
    async def jobs() -> Response:
        return json({"jobs": [job_view(service.learning.job)] if service.learning.job else []})


def _add_choices(routes: APIRouter, service: Service) -> None:
    life = service.learning.life

    async def promote(version: int) -> Response:
        _check_version(service, version)
        await _changed(lambda: life.promote(version))
        return json({"active": version})

    for name in ("promote", "activate"):
        summary = "Let this version speak from now on"
        routes.add_api_route(f"/models/{{version}}/{name}", promote, methods=["POST"], summary=summary, name=name)

    @routes.post("/models/{version}/keep", summary="The present version goes on; this challenger is dismissed")
    async def keep(version: int) -> Response:
        _check_version(service, version)
        if not await asyncio.to_thread(life.keep, version):
            raise Problem(409, "That version does not wait.")
        return json({"active": service.learning.active})

    @routes.post("/models/rollback", summary="The version that spoke before speaks again")
    async def rollback() -> Response:
        try:
            return json({"active": await _changed(life.roll_back)})
        except NoPredecessor as error:
            raise Problem(409, str(error)) from None


def _add_excluded(routes: APIRouter, service: Service) -> None:
    spans = service.learning.excluded

    @routes.get("/models/excluded", summary="Spans of time that no training learns from")
    async def excluded() -> Response:
        return json({"excluded": await asyncio.to_thread(spans.all)})

    @routes.post("/models/excluded", summary="Exclude a span of one host, or of all, from training", status_code=201)
    async def exclude(
        start: str | int = Body(),
        stop: str | int = Body(),
        why: str = Body(min_length=1, max_length=MAX_WHY),
        host: str | None = Body(default=None),
    ) -> Response:
        """`start` and `stop`: RFC 3339, epoch or -1h."""
        now = service.clock.now_ms()
        begin, end = when(str(start), now, now), when(str(stop), now, now)
        if begin >= end:
            raise Problem(422, "start is before stop.")
        name = host_name(host) if host is not None else None
        try:
            return json(await asyncio.to_thread(spans.add, name, begin, end, why.strip(), now), 201)
        except TooManyExcluded as error:
            raise Problem(409, f"{str(error).capitalize()}.") from None

    @routes.post("/models/excluded/{number}/remove", summary="Learn from this span again")
    async def remove(number: int) -> Response:
        if not await asyncio.to_thread(spans.remove, number):
            raise Problem(404, "No such span.")
        return json({"removed": number})


async def _changed(change: Callable[[], int | None]) -> int | None:
    try:
        return await asyncio.to_thread(change)
    except ModelDamaged as error:
        raise Problem(409, f"It stays as it is: {error}.") from None


def _check_version(service: Service, version: int) -> None:
    if version not in service.learning.registered():
        raise Problem(404, "No such version.")


def _version_view(service: Service, version: int) -> dict[str, Any]:
    _check_version(service, version)
    found = [info for info in service.learning.versions() if info.version == version]
    if not found:
        raise Problem(409, f"The files of version {version} are damaged.")
    return _info_view(service, found[0]) | _challenge_view(service, version)


def _challenge_view(service: Service, version: int) -> dict[str, Any]:
    found = service.learning.comparison(version)
    promotion = comparison.decide(found, is_first=False, ask=True)
    return {
        "version": version,
        "comparison": found,
        "promotion": promotion,
        "why": comparison.sentence(promotion, found),
        "label_sentence": comparison.label_sentence(found) if found else None,
    }


def _info_view(service: Service, info: ModelInfo) -> dict[str, Any]:
    shown = {key: value for key, value in asdict(info).items() if key not in {"votes", "start", "stop"}}
    return shown | {"active": info.version == service.learning.active, "from": info.start, "to": info.stop}


def _taught_view(host: dict[str, Any]) -> dict[str, Any]:
    return {
        "host": host["name"],
        "simulated": host["simulated"],
        "history_ms": host["history_ms"],
        "stage": host["stage"],
        "progress": host["stage_progress"],
        "watched_by": host["watched_by"],
    }


def _models_view(service: Service) -> dict[str, Any]:
    learning = service.learning
    life = learning.life
    threshold, window = service.settings.alarm_score, HOURS * HOUR_MS
    why_not = learning.why_not()
    return {
        "active": learning.active,
        "champion": life.champion,
        "challenger": _challenge_view(service, life.challenger) if life.challenger else None,
        "compared": None if life.challenger or not life.champion else _challenge_view(service, life.champion.version),
        "predecessor": life.predecessor,
        "history": life.history()[:SPOKEN_SHOWN],
        "drift": learning.drift(),
        "excluded": learning.excluded.all(),
        "models": [_info_view(service, info) for info in learning.versions()],
        "damaged": learning.damaged,
        "training_data": [_taught_view(host) for host in hosts_view(service)],
        "scores": service.pipeline.score_spread.view() | {"threshold": threshold, "window_ms": window},
        "job": job_view(learning.job),
        "can_train": why_not is None,
        "why_not": why_not,
        "next_training_at": service.scheduler.next_run_at("Train"),
    }
