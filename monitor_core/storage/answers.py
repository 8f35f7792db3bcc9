"""Shapes in which the store answers, out of raw samples and rollups (pure)."""

from __future__ import annotations

import numpy as np

from monitor_core.frame import FloatArray, IntArray
from monitor_core.metrics import METRICS
from monitor_core.storage.rollups import Raw, Rollup
from monitor_core.storage.timeseries import TIER_MS, Series, Tier

_M = len(METRICS)
_SPREAD = (0.05, 0.5, 0.95)


def no_raw() -> Raw:
    none = np.zeros(0, np.int64)
    table = np.zeros((0, _M))
    return Raw(none, table, np.zeros(0), np.zeros(0, np.uint8), table, table)


def series_of(host: str, found: Rollup, tier: Tier, width: int) -> Series:
    return Series(
        host, found.start, found.minimum, found.mean, found.maximum, found.count, found.anomalies, found.low,
        found.high, found.score, tier, width,
    )  # fmt: skip


def raw_series(host: str, raw: Raw, band: Rollup) -> Series:
    """Raw samples; where the expected range is no longer beside them, that of their minute."""
    low, high = _band_at(raw.time, band, raw.low, raw.high)
    there = ~np.isnan(raw.values)
    bits = ((raw.anomaly[:, None] >> np.arange(_M)) & 1).astype(np.int64)
    return Series(
        host, raw.time, raw.values, raw.values, raw.values, there.astype(np.int64), bits, low, high, raw.score,
        Tier.RAW, 0,
    )  # fmt: skip


def with_band(found: Rollup, band: Rollup) -> Rollup:
    low, high = _band_at(found.start, band, found.low, found.high)
    return Rollup(
        found.start, found.minimum, found.mean, found.maximum, found.count, found.anomalies, low, high, found.score
    )


def _band_at(time: IntArray, band: Rollup, low: FloatArray, high: FloatArray) -> tuple[FloatArray, FloatArray]:
    if not len(band.start) or not len(time):
        return low, high
    minute = time - time % TIER_MS[Tier.MINUTE]
    place = np.searchsorted(band.start, minute).clip(0, len(band.start) - 1)
    same = (band.start[place] == minute)[:, None]
    filled = [
        np.where(np.isnan(mine) & same, theirs[place], mine) for mine, theirs in ((low, band.low), (high, band.high))
    ]
    return filled[0], filled[1]


def spread(parts: list[Rollup]) -> tuple[IntArray, FloatArray]:
    """5, 50 and 95 % of the hosts' means per bucket."""
    if not parts:
        return np.zeros(0, np.int64), np.zeros((0, _M, 3))
    time = np.concatenate([part.start for part in parts])
    return spread_of_rows(time, np.concatenate([part.mean for part in parts]))


def spread_of_rows(time: IntArray, values: FloatArray) -> tuple[IntArray, FloatArray]:
    """The same of rows in any order: a host's `values` [r, metrics] in the bucket that begins at `time` [r]."""
    times, bucket = np.unique(time, return_inverse=True)
    out = np.full((len(times), _M, len(_SPREAD)), np.nan)
    for m in range(_M):
        there = ~np.isnan(values[:, m])
        at, column = bucket.ravel()[there], values[there, m]
        order = np.lexsort((column, at))
        ordered, count = column[order], np.bincount(at, minlength=len(times))
        first, has = np.cumsum(count) - count, count > 0
        for q, share in enumerate(_SPREAD):
            place = share * (count[has] - 1)
            low = np.floor(place).astype(np.int64)
            high = np.minimum(low + 1, count[has] - 1)
            a, b = ordered[first[has] + low], ordered[first[has] + high]
            out[has, m, q] = a + (b - a) * (place - low)
    return times, out
