"""Static limits with hysteresis.

Catches: a metric beyond its limit, at once. Misses: everything below it. Needs: nothing, speaks from the first sample.

>>> import numpy as np
>>> breach = exceeded(np.array([[86.0]]), np.array([[85.0]]), was=np.array([[False]]))
>>> bool(breach[0, 0]), float(score(np.array([[86.0]]), np.array([[85.0]]), breach, np.array([100.0]))[0]) > 0.8
(True, True)
"""

from __future__ import annotations

import numpy as np

from monitor_core.frame import BoolArray, FloatArray

HYSTERESIS = 3.0  # points: a breach ends only this far below its limit, so a value that dances on it alarms once
BASE_SCORE = 0.8


def exceeded(values: FloatArray, limits: FloatArray, was: BoolArray) -> BoolArray:
    """[n, m] is each metric beyond its limit (NaN: no limit)? A missing value keeps what was."""
    with np.errstate(invalid="ignore"):
        now = values > np.where(was, limits - HYSTERESIS, limits)
    return np.where(np.isnan(values), was, now) & ~np.isnan(limits)


def score(values: FloatArray, limits: FloatArray, breach: BoolArray, high: FloatArray) -> FloatArray:
    """[n] 0 without a breach, else 0.8 at the limit to 1 at `high` [m], the end of the metric's range."""
    room = np.maximum(high - limits, 1e-9)
    beyond = np.clip((values - limits) / room, 0.0, 1.0)
    worst = np.where(breach, BASE_SCORE + (1 - BASE_SCORE) * np.nan_to_num(beyond), 0.0)
    return worst.max(axis=1)
