"""Catalogue of metrics: what can be measured, in which unit and range, and where its default limit lies.

A new metric is one more row here; every table, frame and chart takes its columns from this order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Metric:
    """One measurable quantity of a host; `limit` is the default static threshold (None: no limit).

    `fills`: it is a stock that runs full, so that a steady climb has an end in time. `breath`: the share of the range
    that counts as one scale at least, because a metric moves so far without anybody wondering; a stock moves less, and
    a disk that is busy for some seconds is nothing.
    """

    key: str
    label: str
    unit: str
    low: float
    high: float
    limit: float | None
    fills: bool = False
    breath: float = 0.04


CATALOGUE: tuple[Metric, ...] = (
    Metric("cpu", "CPU", "%", 0.0, 100.0, 85.0),
    Metric("memory", "Memory", "%", 0.0, 100.0, 85.0, fills=True, breath=0.03),
    Metric("disk", "Disk used", "%", 0.0, 100.0, 90.0, fills=True, breath=0.02),
    Metric("disk_io", "Disk I/O busy", "%", 0.0, 100.0, None, breath=0.08),
)

METRICS: tuple[str, ...] = tuple(metric.key for metric in CATALOGUE)
BY_KEY: dict[str, Metric] = {metric.key: metric for metric in CATALOGUE}


class MetricTable:
    """Several metrics as arrays, in one order: `keys`, `low`, `high` (infinite: not known) and `breath`
    [m], `fills` places."""

    def __init__(self, metrics: Sequence[Metric]) -> None:
        self.keys = tuple(metric.key for metric in metrics)
        self.low = np.array([metric.low for metric in metrics])
        self.high = np.array([metric.high for metric in metrics])
        self.breath = np.array([metric.breath for metric in metrics])
        self.fills = np.array([i for i, metric in enumerate(metrics) if metric.fills], dtype=np.int64)
        self.are_bounded = bool(np.isfinite(self.high - self.low).all())

    def __len__(self) -> int:
        return len(self.keys)

    def scale(self, seen_low: npt.NDArray[np.float64], seen_high: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """[..., m] full scale: the metric's range, else what was seen suggests: a share, percent, or its range."""
        whole = np.where((seen_low >= 0) & (seen_high <= 1), 1.0, seen_high - seen_low)
        whole = np.where((seen_low >= 0) & (seen_high > 1) & (seen_high <= 100), 100.0, whole)
        return np.where(np.isfinite(self.high - self.low), self.high - self.low, whole)


CATALOGUE_TABLE = MetricTable(CATALOGUE)
