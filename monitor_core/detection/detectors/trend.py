"""Trend: something that fills up climbs steadily and will be full before long.

Catches: memory leaks and filling disks, minutes to hours before their limit, with the time that is left. Misses: climbs
in steps, and those too slow to be full within the horizon of their window; takes a long steady start of a program for
a leak. Needs: a window without a hole (3, 12, 48 min or 6 h of samples); the longest also a day before it. Saw teeth
and days look the same as long as they rise: only what goes beyond the hour before, or the day before, is news.

The slope is the median of all slopes between two buckets of the window, with the interval that belongs to it (Theil
1950, Sen 1968). It counts when nearly all pairs rise, the interval is narrow enough to mean something, the end of the
window rises as the rest does, and the level is still where the climb had come to.

>>> import numpy as np
>>> window = np.linspace(60.0, 71.0, 12)[None, :]  # a point per bucket of 15 s
>>> slope = climb(window, 15_000)
>>> [round(float(x), 1) for x in slope[0, :3]], float(minutes_left(np.array([80.0]), slope[:, 1], np.array([100.0]))[0])
([4.0, 4.0, 4.0], 5.0)
"""

from __future__ import annotations

from itertools import combinations

import numpy as np

from monitor_core.detection.buckets import BUCKET_MS, WINDOW
from monitor_core.frame import FloatArray

BASE_SCORE = 0.75
MINUTE_MS = 60_000
HORIZON_WINDOWS = np.array([6.0, 6.0, 3.0, 2.0])  # how many windows ahead a slope may be believed
_WINDOW_MINUTES = np.array(BUCKET_MS) * WINDOW / MINUTE_MS
HORIZON = HORIZON_WINDOWS * _WINDOW_MINUTES
NEWS = 2.5  # points beyond what was seen before the window; saw teeth and days repeat themselves
NEEDS_BEFORE = 3  # the scale that may not speak before it knows what was before
SMALLEST_RISE = 1.0  # points from the first quarter of the window to the last
MOST_NOT_RISING = 9  # of the 66 pairs: Mann-Kendall's z is 3.3
INTERVAL = 24  # Sen's C for 12 buckets and 90 %: ranks (66 ∓ 24) / 2
WIDEST = 4.0  # the slope may be this many times its low end
FALLEN_BACK = 0.25  # of what the window rose: whatever climbed was stopped
_LEFT, _RIGHT = (np.array(side) for side in zip(*combinations(range(WINDOW), 2), strict=True))
_PAIRS = len(_LEFT)


def climb(window: FloatArray, bucket_ms: int) -> FloatArray:
    """[n, 4] points a minute (low end, slope, high end) and the level reached; NaN where nothing climbs.

    `window` [n, 12], oldest first.
    """
    found = np.full((len(window), 4), np.nan)
    rise = window[:, -3:].mean(axis=1) - window[:, :3].mean(axis=1)
    asked = np.flatnonzero(rise >= SMALLEST_RISE)
    if not len(asked):
        return found
    some = window[asked]
    slopes = np.sort((some[:, _RIGHT] - some[:, _LEFT]) / (_RIGHT - _LEFT), axis=1)
    middle = np.median(slopes, axis=1)
    lately = some[:, -3:].mean(axis=1) - some[:, -6:-3].mean(axis=1)
    low, high = slopes[:, (_PAIRS - INTERVAL) // 2 - 1], slopes[:, (_PAIRS + INTERVAL) // 2]
    steady = (slopes[:, MOST_NOT_RISING] > 0) & (low * WIDEST >= middle) & (lately >= 1.5 * middle)
    per_minute = np.stack([low, middle, high], axis=1) * MINUTE_MS / bucket_ms
    found[asked[steady], :3] = per_minute[steady]
    found[asked[steady], 3] = some[steady, -1]
    return found


def minutes_left(level: FloatArray, slope: FloatArray, full: FloatArray) -> FloatArray:
    """How long until `level` is at `full`, if it goes on; inf where it does not climb."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(slope > 0, np.maximum(full - level, 0.0) / slope, np.inf)


def judge(climbs: FloatArray, level: FloatArray, before: FloatArray, full: FloatArray) -> tuple[FloatArray, FloatArray]:
    """[n, fills] score and [n, fills, 3] slope of the scale that is the most urgent (NaN: none).

    `climbs` [n, scales, fills, 4]; `level` [n, fills]; `before` [n, scales, fills] what it must go beyond;
    `full` [fills]. The score is 0.75 at the horizon, 0.95 when full.
    """
    share = minutes_left(level[:, None], climbs[:, :, :, 1], full) / HORIZON[:, None]
    slope, reached = climbs[..., 1], climbs[..., 3]
    with np.errstate(invalid="ignore"):
        share[level[:, None] < reached - FALLEN_BACK * slope * _WINDOW_MINUTES[:, None]] = np.inf
        # a saw tooth's peak lies up to a minute of its slope above the mean of that minute
        share[level[:, None] < before + NEWS + slope] = np.inf
    share[:, NEEDS_BEFORE][np.isnan(before[:, NEEDS_BEFORE])] = np.inf
    share = np.where(np.isnan(share), np.inf, share)
    first = share.argmin(axis=1)
    least = np.take_along_axis(share, first[:, None], axis=1)[:, 0]
    told = np.take_along_axis(climbs, first[:, None, :, None], axis=1)[:, 0, :, :3]
    soon = least <= 1.0
    score = np.where(soon, BASE_SCORE + 0.2 * (1.0 - np.minimum(least, 1.0)), 0.0)
    return score, np.where(soon[:, :, None], told, np.nan)
