"""HostState: what detection remembers of every host, as arrays with one row a host.

Recent samples give the level now; one level each `spacing_ms` goes into a ring of the last hour, whose median and
median absolute deviation are the host's own baseline. All of it can be snapshotted and restored bit for bit.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from monitor_core.detection.buckets import BUCKET_MS, BucketArrays, bucket_columns
from monitor_core.detection.multiscale import MinuteArrays, minute_columns
from monitor_core.frame import BoolArray, FloatArray, IntArray
from monitor_core.host_arrays import NEVER, Columns
from monitor_core.metrics import CATALOGUE_TABLE, MetricTable

RECENT = 16
LEVEL_SAMPLES = 3
BASELINE_LEVELS = 240
WARM_LEVELS = 12
GAPS = 20
REFRESH_EACH = 4
MAD_TO_SIGMA = 1.4826


def _columns(metrics: MetricTable) -> Columns:
    m = len(metrics)
    seen: Columns = {"seen_low": ((m,), np.float64, np.nan), "seen_high": ((m,), np.float64, np.nan)}
    return {
        **bucket_columns(len(metrics.fills)),
        **minute_columns(m),
        **({} if metrics.are_bounded else seen),
        "recent": ((RECENT, m), np.float64, np.nan),
        "recent_at": ((), np.int64, 0),
        "baseline": ((m, BASELINE_LEVELS), np.float32, np.nan),
        "levels": ((), np.int64, 0),
        "level_at": ((), np.int64, NEVER),
        "median": ((m,), np.float64, np.nan),
        "scale": ((m,), np.float64, np.nan),
        "breach": ((m,), np.bool_, False),
        "first_time": ((), np.int64, NEVER),
        "last_time": ((), np.int64, NEVER),
        "samples": ((), np.int64, 0),
        "gaps": ((GAPS,), np.float64, np.nan),
        "climbs": ((len(BUCKET_MS), len(metrics.fills), 4), np.float64, np.nan),
        "climbing": ((), np.bool_, False),
        "same_value": ((m,), np.float64, np.nan),
        "same_since": ((m,), np.int64, 0),
        "same_samples": ((m,), np.int64, 0),
        "same_longest": ((m,), np.int64, 0),
        "changes": ((m,), np.int64, 0),
        "near_before": ((), np.float64, np.nan),
        "near_fading": ((), np.float64, 0.0),
        "near_level": ((), np.float64, np.nan),
        "near_parts": ((m,), np.float64, 0.0),
    }


class HostState(BucketArrays, MinuteArrays):
    """The memory of all detectors. `spacing_ms`: how far apart the levels of a baseline lie.

    `climbs` [scales, fills, 4]: the slope that each scale of the buckets last showed; `climbing`: any did.
    `near_*`: what the neighbours said of the last bucket: its distance, what fades, the level (NaN: they do not speak)
    and the metrics' parts in it.
    `same_*`: the value that each metric shows, since when, in how many samples, and the longest time that one stayed.
    """

    recent: FloatArray
    recent_at: IntArray
    baseline: npt.NDArray[np.float32]
    levels: IntArray
    level_at: IntArray
    median: FloatArray
    scale: FloatArray
    breach: BoolArray
    first_time: IntArray
    last_time: IntArray
    samples: IntArray
    gaps: FloatArray
    climbs: FloatArray
    climbing: BoolArray
    same_value: FloatArray
    same_since: IntArray
    same_samples: IntArray
    same_longest: IntArray
    changes: IntArray
    near_before: FloatArray
    near_fading: FloatArray
    near_level: FloatArray
    near_parts: FloatArray
    seen_low: FloatArray
    seen_high: FloatArray

    def __init__(self, spacing_ms: int = 15_000, metrics: MetricTable = CATALOGUE_TABLE) -> None:
        super().__init__(_columns(metrics), metrics.fills)
        self.spacing_ms, self.metrics = spacing_ms, metrics

    def push(self, rows: IntArray, time: IntArray, values: FloatArray) -> None:
        """Take one sample for each of `rows` (no row twice, newer than its last)."""
        known = self.samples[rows] > 0
        gap = np.where(known, time - self.last_time[rows], np.nan)
        self._compare(rows, time, values)
        self.gaps[rows, self.samples[rows] % GAPS] = gap
        self.recent[rows, self.recent_at[rows]] = values
        self.recent_at[rows] = (self.recent_at[rows] + 1) % RECENT
        self.first_time[rows] = np.where(known, self.first_time[rows], time)
        self.last_time[rows] = time
        self.samples[rows] += 1
        if not self.metrics.are_bounded:
            self.seen_low[rows] = np.fmin(self.seen_low[rows], values)
            self.seen_high[rows] = np.fmax(self.seen_high[rows], values)

    def last_gap(self, rows: IntArray) -> FloatArray:
        """[n] ms between the last two samples; NaN before the second."""
        found: FloatArray = self.gaps[rows, (self.samples[rows] - 1) % GAPS]
        return found

    def _compare(self, rows: IntArray, time: IntArray, values: FloatArray) -> None:
        """Before `last_time` moves on: which metrics changed? A missing value says nothing."""
        before = self.same_value[rows]
        changed = (values != before) & ~np.isnan(values)
        since = self.same_since[rows]
        stayed = np.where(changed & ~np.isnan(before), self.last_time[rows][:, None] - since, 0)
        self.same_longest[rows] = np.maximum(self.same_longest[rows], stayed)
        self.same_samples[rows] = np.where(changed, 1, self.same_samples[rows] + (values == before))
        self.same_since[rows] = np.where(changed, time[:, None], since)
        self.same_value[rows] = np.where(changed, values, before)
        self.changes[rows] += changed

    def level(self, rows: IntArray) -> FloatArray:
        """[n, m] mean of the last samples; NaN where the newest sample lacks the metric."""
        return level_of(self.recent[rows], self.recent_at[rows])

    def level_before(self, rows: IntArray) -> FloatArray:
        """[n, m] mean of the samples before those of `level`; NaN when there are none."""
        return level_before_of(self.recent[rows], self.recent_at[rows])

    def is_warm(self, rows: IntArray) -> npt.NDArray[np.bool_]:
        """Enough levels for a baseline?"""
        return self.levels[rows] >= WARM_LEVELS

    def learn(self, rows: IntArray, time: IntArray) -> None:
        """Let the baseline take the level when `spacing_ms` has passed since the last one it took."""
        due = time - self.level_at[rows] >= self.spacing_ms
        rows = rows[due]
        if not len(rows):
            return
        self.baseline[rows, :, self.levels[rows] % BASELINE_LEVELS] = self.level(rows)
        self.level_at[rows] = time[due]
        self.levels[rows] += 1
        young = self.levels[rows] < 4 * WARM_LEVELS
        # rows stagger the refreshes, so that no tick pays for all hosts
        self._refresh(rows[young | ((self.levels[rows] + rows) % REFRESH_EACH == 0)])

    def relearn(self, row: int, since: int) -> bool:
        """Begin the baseline again with what the host showed since then (ms UTC); True when it was done.

        While little was shown since, older levels moved to where the host is now stand in, so that its own spread
        stays known. Not before the host is warm, nor while it is over a limit.
        """
        if self.levels[row] < WARM_LEVELS or self.breach[row].any():
            return False
        ring, level = self.baseline[row], self.level(np.array([row]))[0]
        shift = np.where(np.isnan(level), 0.0, level - self.median[row])
        age = (self.levels[row] - 1 - np.arange(BASELINE_LEVELS)) % BASELINE_LEVELS
        young = (self.level_at[row] - since) // self.spacing_ms + 1
        stands_in = (age >= young) & (age < WARM_LEVELS)
        ring[:, stands_in] += shift[:, None]
        ring[:, (age >= young) & ~stands_in] = np.nan
        self.same_longest[row] = np.maximum(self.same_longest[row], self.last_time[row] - self.same_since[row])
        self._refresh(np.array([row]))
        return True

    def _refresh(self, rows: IntArray) -> None:
        if not len(rows):
            return
        ring = self.baseline[rows]
        median = _median(ring)
        spread = MAD_TO_SIGMA * _median(np.abs(ring - median[:, :, None]))
        self.median[rows] = median
        # a quiet host would otherwise alarm at every breath (median/MAD, Hampel 1974)
        self.scale[rows] = np.fmax(spread, self.metrics.breath * self.full_scale(rows))

    def full_scale(self, rows: IntArray) -> FloatArray:
        """[n, m] from the least to the most that each metric can show, or else has shown."""
        if self.metrics.are_bounded:
            return np.broadcast_to(self.metrics.high - self.metrics.low, (len(rows), len(self.metrics)))
        return np.fmax(self.metrics.scale(self.seen_low[rows], self.seen_high[rows]), 1e-9)

    def gap_ms(self, rows: IntArray) -> FloatArray:
        """[n] median gap between a host's last samples; NaN before the second."""
        return _median(self.gaps[rows][:, None, :])[:, 0]

    def copy_of(self, rows: IntArray) -> HostState:
        """An independent state that knows these hosts only (row i = rows[i])."""
        return self.copy_into(HostState(self.spacing_ms, self.metrics), rows)


def level_of(recent: FloatArray, recent_at: IntArray) -> FloatArray:
    """[n, m] `HostState.level` from the rings `recent` [n, RECENT, m] and where their next sample goes [n]."""
    window = _newest(recent, recent_at, 1, LEVEL_SAMPLES)
    return np.where(np.isnan(window[:, 0]), np.nan, _mean(window))


def level_before_of(recent: FloatArray, recent_at: IntArray) -> FloatArray:
    """[n, m] `HostState.level_before`, likewise."""
    return _mean(_newest(recent, recent_at, 1 + LEVEL_SAMPLES, RECENT))


def _newest(recent: FloatArray, recent_at: IntArray, first: int, last: int) -> FloatArray:
    places = (recent_at[:, None] - np.arange(first, last + 1)) % RECENT
    window: FloatArray = recent[np.arange(len(recent))[:, None], places]
    return window


def _mean(window: FloatArray) -> FloatArray:
    """[n, m] mean over axis 1 of the numbers that are there; NaN when none is."""
    there = ~np.isnan(window)
    count = there.sum(axis=1)
    total = np.where(there, window, 0.0).sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _median(ring: npt.NDArray[np.floating]) -> FloatArray:
    """[n, m] median over the last axis of the numbers that are there (sorting puts NaN last); NaN when none is."""
    count = (~np.isnan(ring)).sum(axis=2)
    ordered = np.sort(ring, axis=2)
    low = np.take_along_axis(ordered, np.maximum((count - 1) // 2, 0)[:, :, None], axis=2)[:, :, 0]
    high = np.take_along_axis(ordered, (count // 2)[:, :, None], axis=2)[:, :, 0]
    return np.where(count > 0, (low.astype(np.float64) + high) / 2, np.nan)
