"""Rollup points: how a rollup is written to InfluxDB and read back (pure).

One point a host and bucket; the fields are named `cpu_min`, `cpu_mean`, …, and `score` is the highest. A metric without
a sample in the bucket has the count 0 and nothing else, so that an older value of the point does not shine through.
"""

from __future__ import annotations

import numpy as np

from monitor_core.frame import FloatArray, IntArray
from monitor_core.metrics import METRICS
from monitor_core.storage.rollups import Rollup

PARTS = {
    "min": "minimum", "mean": "mean", "max": "maximum", "count": "count", "anomalies": "anomalies", "low": "low",
    "high": "high",
}  # fmt: skip
_M = len(METRICS)
FIELDS = (*(f"{key}_{part}" for part in PARTS for key in METRICS), "score")
MEANS = tuple(f"{key}_mean" for key in METRICS)
COUNTS = tuple(f"{key}_count" for key in METRICS)
BANDS = tuple(f"{key}_{part}" for part in ("low", "high") for key in METRICS)


def to_table(rollup: Rollup) -> FloatArray:
    """[b, fields]"""
    columns = [getattr(rollup, name).astype(np.float64) for name in PARTS.values()]
    return np.concatenate([*columns, rollup.score[:, None]], axis=1)


def from_table(start: IntArray, table: FloatArray) -> Rollup:
    """Inverse of `to_table`."""
    part = dict(zip(PARTS, np.split(table[:, :-1], len(PARTS), axis=1), strict=True))
    count, anomalies = (np.nan_to_num(part[name]).astype(np.int64) for name in ("count", "anomalies"))
    shown = {name: np.where(count > 0, part[name], np.nan) for name in ("min", "mean", "max")}
    score = np.nan_to_num(table[:, -1])
    return Rollup(start, shown["min"], shown["mean"], shown["max"], count, anomalies, part["low"], part["high"], score)


def with_low_high(rollup: Rollup, low: FloatArray, high: FloatArray) -> Rollup:
    """The same buckets with this expected range."""
    return Rollup(
        rollup.start, rollup.minimum, rollup.mean, rollup.maximum, rollup.count, rollup.anomalies, low, high,
        rollup.score,
    )  # fmt: skip
