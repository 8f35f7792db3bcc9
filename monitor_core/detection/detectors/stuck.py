"""Stuck: a metric that has always moved shows exactly the same value again and again.

Catches: a sensor or an exporter that repeats its last value. Misses: one that stood still as long before (it must be
ten times longer than ever), and values at the end of their range: an idle disk is 0. Needs: a day of the host, in
which the metric changed 60 times.

>>> import numpy as np
>>> from monitor_core.metrics import CATALOGUE, MetricTable
>>> minutes = 60_000
>>> cpu = MetricTable(CATALOGUE[:1])
>>> one = lambda x: np.array([[x]])
>>> float(score(one(41.3), one(20 * minutes), one(400), one(minutes), one(900), cpu)[0, 0])
0.8
>>> float(score(one(41.3), one(20 * minutes), one(400), one(3 * minutes), one(900), cpu)[0, 0])
0.0
"""

from __future__ import annotations

import numpy as np

from monitor_core.frame import FloatArray, IntArray
from monitor_core.metrics import MetricTable

SCORE = 0.8
LIVELY_CHANGES = 60
KNOWN_FOR_MS = 24 * 3_600_000
SHORTEST_MS, FEWEST_SAMPLES, TIMES_LONGER = 15 * 60_000, 30, 10


def score(
    value: FloatArray,
    same_ms: IntArray,
    samples: IntArray,
    longest_ms: IntArray,
    changes: IntArray,
    metrics: MetricTable,
) -> FloatArray:
    """[n, m] 0.8 where the value stands still, 0 where it moves or may stand still.

    `same_ms` and `samples`: how long the present value has been seen; `longest_ms` of any value before it.
    """
    still = (same_ms >= np.maximum(SHORTEST_MS, TIMES_LONGER * longest_ms)) & (samples >= FEWEST_SAMPLES)
    with np.errstate(invalid="ignore"):
        inside = (value > metrics.low) & (value < metrics.high)
    return np.where(still & inside & (changes >= LIVELY_CHANGES), SCORE, 0.0)
