"""Floored robust z-score: how many scales the level is away from the host's own median.

Catches: a level that differs from the last hour's, per metric. Misses: slow leaks (the median follows), odd
combinations of ordinary values, stuck sensors. Needs: 12 baseline levels, 3 minutes at one sample each 3 s.

>>> import numpy as np
>>> float(score(z(np.array([[46.0]]), np.array([[30.0]]), np.array([[4.0]])))[0])
0.75
"""

from __future__ import annotations

import numpy as np

from monitor_core.frame import FloatArray

EXPECTED_SCALES = 2.0


def z(level: FloatArray, median: FloatArray, scale: FloatArray) -> FloatArray:
    """[n, m] signed distance in scales (median absolute deviation, floored); 0 where something is missing."""
    return np.nan_to_num((level - median) / scale)


def score(distance: FloatArray) -> FloatArray:
    """[n] from the largest distance: each two scales halve what is missing to 1, so 4 scales are 0.75."""
    return 1.0 - np.exp2(-np.abs(distance).max(axis=1) / 2.0)


def expected(median: FloatArray, scale: FloatArray) -> tuple[FloatArray, FloatArray]:
    """[n, m] low and high end of the values that nobody should wonder about."""
    return median - EXPECTED_SCALES * scale, median + EXPECTED_SCALES * scale
