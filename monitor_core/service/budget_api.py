"""The alert budget of a host over HTTP: what is left of it, the threshold that it asks for, and the trade-off."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import numpy as np
from fastapi import APIRouter
from fastapi.responses import Response

from monitor_core.detection import alert_budget
from monitor_core.detection.detectors.robust_z import score_of
from monitor_core.service.access import Problem
from monitor_core.service.bootstrap import Service
from monitor_core.service.original_api import host_name, json

WEEK_DAYS = 7
SHOWN_EACH = 4  # of 161 thresholds


def router(service: Service) -> APIRouter:
    """/v1/hosts/{name}/budget."""
    routes = APIRouter(prefix="/v1", tags=["hosts"])

    @routes.get(
        "/hosts/{name}/budget", summary="What is left of a host's alert budget, and what each threshold would send"
    )
    async def budget(name: str) -> Response:
        found = await asyncio.to_thread(budget_view, service, host_name(name))
        if found is None:
            raise Problem(404, "No such host.")
        return json(found)

    return routes


def budget_view(service: Service, host: str) -> dict[str, Any] | None:
    """As JSON; None for an unknown host. `curve`: alerts a week that each threshold (a score) would have sent."""
    with service.pipeline.lock:
        judge, known = service.judge, service.pipeline.known.get(host)
        if known is None:
            return None
        limited = not known.simulated and math.isfinite(judge.budget.alerts_per_day)
        row, alarm = judge.spending.find(host), service.settings.alarm_score
        view: dict[str, Any] = {"host": host, "limited": limited} | dict.fromkeys(("threshold", "unusual_from"), alarm)
        if not limited or row is None:
            return view | {"per_week": None, "curve": [], "knows": False}
        rows, yes = np.array([row]), np.array([True])
        threshold = float(alert_budget.thresholds(judge.spending, judge.budget, rows, yes)[0])
        spent = alert_budget.spent(judge.spending, judge.budget, row, WEEK_DAYS)
        rates = alert_budget.rates(judge.spending, judge.budget, row) * WEEK_DAYS
        knows = not math.isnan(float(judge.spending.threshold[row]))
        began, now = int(judge.spending.began[row]), judge.bar(host, int(judge.spending.last_time[row]))
    per_week = judge.budget.alerts_per_day * WEEK_DAYS
    curve = zip(_score(alert_budget.THRESHOLDS).tolist(), np.round(rates, 2).tolist(), strict=True)
    return view | {
        "threshold": float(_score(np.array([threshold]))[0]),
        "unusual_from": float(_score(np.array([now.distance]))[0]),
        "per_week": round(per_week, 2),
        "spent": spent.alerts,
        "counted": round(spent.counted, 2),
        "left": max(0, math.floor(per_week - spent.counted + 1e-9)),
        "knows": knows,
        "since": began,
        "knows_from": began + alert_budget.KNOWS_AFTER_MS,
        "curve": [{"score": score, "per_week": rate} for score, rate in list(curve)[::SHOWN_EACH]],
    }


def _score(distance: np.ndarray) -> np.ndarray:
    return np.round(score_of(distance), 3)
