"""The robust z: what is far, and what is only a relief."""

import numpy as np
import pytest

from monitor_core.detection.detectors import robust_z
from monitor_core.detection.scorer import Scorer
from monitor_core.metrics import METRICS
from tests.builders import steady

ALARM = 0.75


def judged(usual, then):
    """Score and expected range of the CPU after an hour at `usual` and half a minute at `then`, no limits."""
    frame = steady(n=1_200)
    frame.values[:, 0] += usual - 30
    frame.values[-10:, 0] = then
    scores = Scorer({}).score(frame)
    return scores.score[-1], scores.expected_low[-1, 0], scores.expected_high[-1, 0]


def test_a_processor_that_was_nearly_full_and_is_idle_is_a_relief_and_one_that_was_not_is_unusual():
    relieved, low, high = judged(usual=96, then=2)
    assert relieved < ALARM
    assert low == 0
    assert high > 96
    fallen, low, _ = judged(usual=60, then=2)
    assert fallen >= ALARM
    assert low > 40


def test_what_climbs_is_unusual_wherever_it_was():
    assert judged(usual=20, then=60)[0] >= ALARM
    assert robust_z.z(np.array([99.0]), np.array([85.0]), np.array([3.0]), 100.0)[0] > 4


@pytest.mark.parametrize(("key", "points"), [("cpu", 16), ("memory", 12), ("disk", 8), ("disk_io", 32)])
def test_a_stock_has_less_room_than_a_processor_and_a_disk_that_is_busy_more(key, points):
    def alarms(more):
        frame = steady(n=1_200)
        frame.values[-10:, METRICS.index(key)] = 30 + more
        return Scorer({}).score(frame).score[-1] >= ALARM

    assert alarms(points + 1.5)
    assert not alarms(points - 1.5)


def test_a_metric_without_a_known_end_is_never_nearly_full():
    distance = robust_z.z(np.array([2.0]), np.array([1e6]), np.array([10.0]), np.array([np.inf]))
    assert distance[0] < -1_000
