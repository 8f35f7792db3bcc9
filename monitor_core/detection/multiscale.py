"""Multi-scale features: what a metric does over minutes to two hours, beside what is usual at this time of day.

A bucket is a minute, or one sample where a host speaks less often than that. Eight blocks for each metric: the level;
jumps of the means over 1, 3 and 10 buckets; the mean over 15 against that over 120; how much livelier the last 5
buckets are than the last 60; and how far the means over 3 and 30 buckets are from the usual.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from monitor_core.frame import BoolArray, FloatArray, IntArray
from monitor_core.host_arrays import Columns, HostArrays

BUCKET_MS = 60_000
LONGEST = 120
WINDOW = LONGEST + 1
BLOCKS = 8
WARM_BUCKETS = 60
SLOT_MS, DAY_MS = 1_800_000, 86_400_000
SLOTS = DAY_MS // SLOT_MS
USUAL_DAYS, FEWEST_DAYS = 7, 3

Float32Array = npt.NDArray[np.float32]


def blocks(window: Float32Array, usual: FloatArray) -> FloatArray:
    """[n, m, 8] features of the newest bucket of each `window` [n, m, 121]; `usual` [n, m] (NaN: not known)."""

    def mean(buckets: int, ago: int = 0) -> FloatArray:
        stop = WINDOW - ago
        return np.asarray(window[:, :, stop - buckets : stop].mean(axis=2, dtype=np.float64))

    steps = np.abs(np.diff(window[:, :, -WARM_BUCKETS - 1 :], axis=2)).astype(np.float64)
    return np.stack(
        [
            window[:, :, -1].astype(np.float64),
            mean(1) - mean(1, 1),
            mean(3) - mean(3, 3),
            mean(10) - mean(10, 10),
            mean(15) - mean(LONGEST),
            steps[:, :, -5:].mean(axis=2) - steps.mean(axis=2),
            np.nan_to_num(mean(3) - usual),
            np.nan_to_num(mean(30) - usual),
        ],
        axis=2,
    )


def usual_day(time: IntArray, values: FloatArray) -> FloatArray:
    """[48, m] mean of each half hour of the UTC day over the last whole days, 3 to 7 of them; NaN before that.

    `time` [n] ms UTC ascending, `values` [n, m].
    """
    day = time // DAY_MS
    first = max(int(day[-1]) - USUAL_DAYS, int((time[0] - SLOT_MS) // DAY_MS) + 1)
    inside = (day >= first) & (day < day[-1])
    usual = np.full((SLOTS, values.shape[1]), np.nan)
    if len(np.unique(day[inside])) < FEWEST_DAYS:
        return usual
    slot, table = time[inside] % DAY_MS // SLOT_MS, values[inside]
    there = ~np.isnan(table)
    for m in range(values.shape[1]):
        some = there[:, m]
        count = np.bincount(slot[some], minlength=SLOTS)
        total = np.bincount(slot[some], weights=table[some, m], minlength=SLOTS)
        if some.any():
            usual[:, m] = np.where(count > 0, total / np.maximum(count, 1), total.sum() / count.sum())
    return usual


def usual_at(usual: FloatArray, time: IntArray) -> FloatArray:
    """[n, m] what is usual at `time` [n]: on the line between the middles of half hours. `usual` [n, 48, m]."""
    place = (time % DAY_MS) / SLOT_MS - 0.5
    slot = np.floor(place).astype(np.int64)
    share = (place - slot)[:, None]
    rows = np.arange(len(time))
    return usual[rows, slot % SLOTS] * (1 - share) + usual[rows, (slot + 1) % SLOTS] * share


def minute_columns(metrics: int) -> Columns:
    """What `MinuteArrays` needs for so many metrics."""
    return {
        "phase": ((), np.int64, -1),
        "minute_id": ((), np.int64, -1),
        "minute_sum": ((metrics,), np.float64, 0.0),
        "minute_count": ((metrics,), np.int64, 0),
        "minutes": ((metrics, WINDOW), np.float32, np.nan),
        "minutes_seen": ((), np.int64, 0),
    }


class MinuteArrays(HostArrays):
    """The last 121 buckets of every host, and the open one. Hosts begin their minutes at different seconds (`phase`,
    ms), so that no tick has to look at all of them."""

    phase: IntArray
    minute_id: IntArray
    minute_sum: FloatArray
    minute_count: IntArray
    minutes: Float32Array
    minutes_seen: IntArray

    def fill_minutes(self, rows: IntArray, time: IntArray, values: FloatArray, gap: FloatArray) -> IntArray:
        """Take one sample for each of `rows`; returns the places (in `rows`) of hosts whose bucket is over with it.

        `gap` [n] ms to the sample before (NaN: the first): if the next one comes after as long, is this the last of its
        bucket?
        """
        self._meet(rows)
        at = time + self.phase[rows]
        place = at // BUCKET_MS
        missed = (self.minute_id[rows] >= 0) & (self.minute_id[rows] != place)
        self._close_minute(rows[missed])
        self.minute_id[rows] = place
        there = ~np.isnan(values)
        self.minute_sum[rows] += np.where(there, values, 0.0)
        self.minute_count[rows] += there
        with np.errstate(invalid="ignore"):
            over = np.flatnonzero(at + gap >= (place + 1) * BUCKET_MS)
        self._close_minute(rows[over])
        return over

    def window(self, rows: IntArray) -> Float32Array:
        """[n, m, 121] the last buckets, oldest first."""
        found: Float32Array = self.minutes[rows]
        return found

    def window_if(self, rows: IntArray, values: FloatArray) -> Float32Array:
        """[n, m, 121] as if the next bucket were `values`; a missing one repeats the last."""
        return _pushed(self.minutes[rows], values)

    def is_filled(self, rows: IntArray) -> BoolArray:
        """Enough buckets for features that mean something?"""
        return self.minutes_seen[rows] >= WARM_BUCKETS

    def _meet(self, rows: IntArray) -> None:
        for row in rows[self.phase[rows] < 0].tolist():
            self.phase[row] = phase_of(self.names[row])

    def _close_minute(self, rows: IntArray) -> None:
        """The open buckets go into the rings."""
        if not len(rows):
            return
        count = self.minute_count[rows]
        mean = np.where(count > 0, self.minute_sum[rows] / np.maximum(count, 1), np.nan)
        self.minutes[rows] = _pushed(self.minutes[rows], mean)
        self.minutes_seen[rows] += 1
        self.minute_id[rows] = -1
        self.minute_sum[rows] = 0.0
        self.minute_count[rows] = 0


def phase_of(host: str) -> int:
    """When a host's minutes begin, ms: from its name alone, so that it is the same after a restart."""
    return zlib.crc32(host.encode()) % BUCKET_MS


def _pushed(ring: Float32Array, newest: FloatArray) -> Float32Array:
    """The ring one bucket on. A missing value repeats the last one; the first one fills the ring."""
    value = np.where(np.isnan(newest), ring[:, :, -1], newest).astype(np.float32)
    moved = np.concatenate([ring[:, :, 1:], value[:, :, None]], axis=2)
    return np.where(np.isnan(moved), value[:, :, None], moved)


def windows(values: FloatArray, at: Sequence[int] | IntArray) -> Float32Array:
    """[n, m, 121] the ring as it was at the rows `at` of a host's buckets `values` [rows, m]."""
    table = values.astype(np.float32)
    for m in range(table.shape[1]):
        known = np.flatnonzero(~np.isnan(table[:, m]))
        if len(known):
            before = np.searchsorted(known, np.arange(len(table)), side="right") - 1
            table[:, m] = table[known[np.maximum(before, 0)], m]
    padded = np.concatenate([np.repeat(table[:1], LONGEST, axis=0), table])
    view = np.lib.stride_tricks.sliding_window_view(padded, WINDOW, axis=0)
    found: Float32Array = view[np.asarray(at, dtype=np.int64)]
    return found
