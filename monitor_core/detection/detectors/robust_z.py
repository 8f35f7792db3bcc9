"""Floored robust z-score: how many scales the level is away from the host's own median.

Catches: a level that differs from the last hour's, per metric. Misses: slow leaks (the median follows), odd
combinations of ordinary values, stuck sensors, and what falls from where it was nearly full: that is relief. Needs:
12 baseline levels, 3 minutes at one sample each 3 s.

>>> import numpy as np
>>> float(score(z(np.array([[46.0]]), np.array([[30.0]]), np.array([[4.0]])))[0])
0.75
"""

from __future__ import annotations

import numpy as np

from monitor_core.frame import FloatArray

EXPECTED_SCALES = 2.0
NEARLY_FULL = 0.8  # of the metric's range


def z(level: FloatArray, median: FloatArray, scale: FloatArray, high: FloatArray | float = np.inf) -> FloatArray:
    """[n, m] signed distance in scales (median absolute deviation, floored); 0 where something is missing, and where a
    metric that was nearly full, of `high` [m], is less so."""
    distance = np.nan_to_num((level - median) / scale)
    with np.errstate(invalid="ignore"):
        return np.where((distance < 0) & (median >= NEARLY_FULL * high), 0.0, distance)


def score(distance: FloatArray) -> FloatArray:
    """[n] from the largest distance: each two scales halve what is missing to 1, so 4 scales are 0.75."""
    return score_of(np.abs(distance).max(axis=1))


def score_of(distance: FloatArray) -> FloatArray:
    """[n] the score that a distance in scales stands for."""
    return 1.0 - np.exp2(-distance / 2.0)


def expected(median: FloatArray, scale: FloatArray, high: FloatArray | float = np.inf) -> tuple[FloatArray, FloatArray]:
    """[n, m] low and high end of the values that nobody should wonder about; -inf: anything below is a relief."""
    with np.errstate(invalid="ignore"):
        low = np.where(median >= NEARLY_FULL * high, -np.inf, median - EXPECTED_SCALES * scale)
    return low, median + EXPECTED_SCALES * scale
