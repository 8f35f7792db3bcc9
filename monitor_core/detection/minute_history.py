"""Minute history: what the neighbours learn from, one mean a minute and host."""

from __future__ import annotations

import numpy as np

from monitor_core.detection.multiscale import BUCKET_MS
from monitor_core.frame import FloatArray, Frame, IntArray


class MinuteHistory:
    """Sums of every minute of every host; samples come in order of time."""

    def __init__(self) -> None:
        self._parts: dict[str, list[tuple[IntArray, FloatArray, FloatArray]]] = {}

    def take(self, frame: Frame) -> None:
        """Add all samples."""
        order = np.argsort(frame.code, kind="stable")
        bounds = np.searchsorted(frame.code[order], np.arange(len(frame.hosts) + 1))
        for code, host in enumerate(frame.hosts):
            rows = order[bounds[code] : bounds[code + 1]]
            if len(rows):
                self._parts.setdefault(host, []).append(_summed(frame.time[rows] // BUCKET_MS, frame.values[rows]))

    def hosts(self) -> list[str]:
        return list(self._parts)

    def of(self, host: str, before: int) -> tuple[IntArray, FloatArray]:
        """(time [n] ms UTC, mean [n, m]; NaN: missing) of the minutes that were over at `before`."""
        parts = self._parts[host]
        minute, total, count = (np.concatenate([part[i] for part in parts]) for i in range(3))
        self._parts[host] = [(minute, total, count) if len(parts) == 1 else _merged(minute, total, count)]
        minute, total, count = self._parts[host][0]
        over = minute < before // BUCKET_MS
        return minute[over] * BUCKET_MS, _mean(total[over], count[over])


def minute_means(time: IntArray, values: FloatArray) -> tuple[IntArray, FloatArray]:
    """The same of one host's samples or buckets: `time` [n] ms UTC ascending, `values` [n, m]."""
    minute, total, count = _summed(time // BUCKET_MS, values)
    return minute * BUCKET_MS, _mean(total, count)


def _summed(minute: IntArray, values: FloatArray) -> tuple[IntArray, FloatArray, FloatArray]:
    there = ~np.isnan(values)
    return _merged(minute, np.where(there, values, 0.0), there.astype(np.float64))


def _merged(minute: IntArray, total: FloatArray, count: FloatArray) -> tuple[IntArray, FloatArray, FloatArray]:
    order = np.argsort(minute, kind="stable")
    minute = minute[order]
    starts = np.flatnonzero(np.diff(minute, prepend=-1))
    return minute[starts], np.add.reduceat(total[order], starts, axis=0), np.add.reduceat(count[order], starts, axis=0)


def _mean(total: FloatArray, count: FloatArray) -> FloatArray:
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
