"""Anomaly points: an anomaly as InfluxDB keeps it, written and read (pure). The original's fields keep their names."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from monitor_core.frame import DEFAULT_HOST
from monitor_core.metrics import METRICS
from monitor_core.storage.influxdb.flux import ANOMALIES
from monitor_core.storage.influxdb.line_protocol import escape_tag, escape_text
from monitor_core.storage.timeseries import Anomaly

_PART = "contribution_"


def to_line(anomaly: Anomaly) -> bytes:
    """One line; the only tag is the host."""
    fields = [f"{key}={value!r}" for key, value in zip(METRICS, anomaly.values, strict=False) if value is not None]
    fields.append(f"score={float(anomaly.score)!r}")
    fields.append(f"reason={escape_text(anomaly.reason)}")
    if anomaly.incident_id is not None:
        fields.append(f"incident_id={float(anomaly.incident_id)!r}")
    fields += [f"{_PART}{key}={part!r}" for key, part in zip(METRICS, anomaly.contributions, strict=False)]
    return f"{ANOMALIES},host={escape_tag(anomaly.host)} {','.join(fields)} {anomaly.time}".encode()


def from_tables(tables: list[pa.Table]) -> list[Anomaly]:
    """Points of any age and writer; one without a host is `default`'s."""
    return [_anomaly(row) for table in tables for row in table.to_pylist()]


def _anomaly(row: dict[str, Any]) -> Anomaly:
    number = row.get("incident_id")
    parts = tuple(row.get(f"{_PART}{key}") for key in METRICS)
    return Anomaly(
        host=row.get("host") or DEFAULT_HOST,
        time=round(row["_time"].timestamp() * 1000),
        values=tuple(None if row.get(key) is None else float(row[key]) for key in METRICS),
        score=float(row.get("score") or 0.0),
        reason=row.get("reason") or "",
        incident_id=None if number is None else int(number),
        contributions=() if None in parts else tuple(float(part) for part in parts if part is not None),
    )
