"""Views: how hosts, incidents and series look as JSON. Pure; NaN becomes null when it is encoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from monitor_core.detection.host_state import WARM_LEVELS, HostState
from monitor_core.detection.stage import Learned
from monitor_core.incidents import Incident
from monitor_core.metrics import CATALOGUE, METRICS
from monitor_core.notifications import Notification
from monitor_core.service.live import Live
from monitor_core.storage.state import KnownHost, TimelineEvent
from monitor_core.storage.timeseries import Series


def metrics_view(limits: Sequence[float | None]) -> list[dict[str, Any]]:
    """The catalogue, with the limits that hold by default."""
    return [
        {"key": metric.key, "label": metric.label, "unit": metric.unit, "limit": limit}
        for metric, limit in zip(CATALOGUE, limits, strict=True)
    ]


def hosts_view(
    known: dict[str, KnownHost], live: Live, state: HostState, stages: Sequence[Learned], now: int
) -> list[dict[str, Any]]:
    """Every known host with what it showed last; `stages` in the order of their names."""
    names = sorted(known)
    rows = live.latest.rows(names)
    memory = state.rows(names)
    words = live.states(names, rows) if names else []
    warm = np.minimum(state.levels[memory] / WARM_LEVELS, 1.0)
    gaps = state.gap_ms(memory) if names else np.zeros(0)
    return [
        {
            "name": name,
            "simulated": known[name].simulated,
            "last": int(live.latest.time[rows[i]]) if live.latest.time[rows[i]] > 0 else None,
            "values": live.latest.values[rows[i]].tolist(),
            "low": np.round(live.latest.low[rows[i]], 1).tolist(),
            "high": np.round(live.latest.high[rows[i]], 1).tolist(),
            "score": float(live.latest.score[rows[i]]),
            "state": words[i],
            "warm": round(float(warm[i]), 3),
            "history_ms": max(0, now - known[name].first_sample),
            "stage": stages[i].stage,
            "stage_progress": stages[i].progress,
            "next": stages[i].next,
            "learned": stages[i].sentence,
            "watched_by": [{"name": part.name, "share": part.share, "next": part.next} for part in stages[i].parts],
            "gap_ms": None if np.isnan(gaps[i]) else int(gaps[i]),
        }
        for i, name in enumerate(names)
    ]


def incident_view(incident: Incident) -> dict[str, Any]:
    return asdict(incident)


def timeline_view(
    incident: Incident, events: Sequence[TimelineEvent], notifications: Sequence[Notification]
) -> list[dict[str, Any]]:
    """What happened, oldest first; messages that are still on their way are said as such."""
    lines = [{"at": event.at, "what": event.what, "detail": event.detail} for event in events]
    for row in notifications:
        if row.state in ("pending", "sending"):
            detail = row.last_error or f"try {row.attempts + 1}"
            lines.append({"at": row.due_at, "what": f"{row.channel} waits ({row.event})", "detail": detail})
    if incident.acknowledged_at is not None:
        lines.append({"at": incident.acknowledged_at, "what": "acknowledged", "detail": incident.note or ""})
    return sorted(lines, key=lambda line: int(line["at"]) // 1000)


def series_view(series: Series) -> dict[str, Any]:
    """Columns per metric."""
    columns = {
        "min": series.minimum,
        "mean": series.mean,
        "max": series.maximum,
        "expected_low": series.expected_low,
        "expected_high": series.expected_high,
        "anomalies": series.anomalies,
        "count": series.count,
    }
    rounded = {name: np.round(table, 2) if table.dtype.kind == "f" else table for name, table in columns.items()}
    return {
        "host": series.host,
        "tier": series.tier,
        "bucket_ms": series.bucket_ms,
        "time": series.time.tolist(),
        "score": np.round(series.score, 3).tolist(),
        "metrics": {
            key: {name: table[:, m].tolist() for name, table in rounded.items()} for m, key in enumerate(METRICS)
        },
    }
