"""Catalogue of metrics: what can be measured, in which unit and range, and where its default limit lies.

A new metric is one more row here; every table, frame and chart takes its columns from this order.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Metric:
    """One measurable quantity of a host; `limit` is the default static threshold (None: no limit).

    `fills`: it is a stock that runs full, so that a steady climb has an end in time.
    """

    key: str
    label: str
    unit: str
    low: float
    high: float
    limit: float | None
    fills: bool = False


CATALOGUE: tuple[Metric, ...] = (
    Metric("cpu", "CPU", "%", 0.0, 100.0, 85.0),
    Metric("memory", "Memory", "%", 0.0, 100.0, 85.0, fills=True),
    Metric("disk", "Disk used", "%", 0.0, 100.0, 90.0, fills=True),
    Metric("disk_io", "Disk I/O busy", "%", 0.0, 100.0, None),
)

METRICS: tuple[str, ...] = tuple(metric.key for metric in CATALOGUE)
BY_KEY: dict[str, Metric] = {metric.key: metric for metric in CATALOGUE}
