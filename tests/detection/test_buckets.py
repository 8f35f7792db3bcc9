"""Means over stretches of time, whatever the interval between samples."""

import numpy as np

from monitor_core.detection.buckets import BUCKET_MS, WINDOW, BucketArrays, bucket_columns
from monitor_core.metrics import CATALOGUE_TABLE
from tests.builders import T0

MINUTE = 60_000


def fill(times, memory):
    """All that is over when one host sends these samples: (scale, window of memory)."""
    arrays = BucketArrays(bucket_columns(len(CATALOGUE_TABLE.fills)), CATALOGUE_TABLE.fills)
    row = arrays.rows(["a"])
    closed = []
    for time, value in zip(times, memory, strict=True):
        values = np.array([[1.0, value, np.nan, 2.0]])
        closed += [(c.scale, c.window[0, 0]) for c in arrays.fill_buckets(row, np.array([time]), values)]
    return closed, arrays


def test_a_bucket_is_the_mean_of_its_samples_and_goes_into_longer_ones():
    n = 60 * 20
    closed, _ = fill(T0 + np.arange(n) * 3_000, np.arange(n))
    by_scale = [[window for scale, window in closed if scale == s] for s in range(len(BUCKET_MS))]
    assert [len(windows) for windows in by_scale] == [239, 59, 14, 1]
    assert by_scale[0][-1].tolist() == [1_137.0 + 5 * i for i in range(WINDOW)]
    assert np.diff(by_scale[1][-1]).tolist() == [20.0] * (WINDOW - 1)


def test_a_window_with_a_hole_is_none():
    times = T0 + np.delete(np.arange(400), slice(100, 112)) * 3_000
    closed, _ = fill(times, np.full(len(times), 5.0))
    known = [not np.isnan(window).any() for scale, window in closed if scale == 0]
    assert known == [False] * 11 + [True] * 8 + [False] * 12 + [True] * 46


def test_what_was_before_is_the_highest_minute_and_half_hour():
    memory = np.full(1_440 * 2, 40.0)
    memory[2_000:2_030] = 70
    memory[2_862] = 60
    _, arrays = fill(T0 + np.arange(len(memory)) * MINUTE, memory)
    before = arrays.highest_before(np.array([0]))[0, :, 0]
    assert before[:2].tolist() == [60, 60]
    assert before[2] == before[3] > 50
    young = fill(T0 + np.arange(60) * MINUTE, memory[:60])[1].highest_before(np.array([0]))[0, :, 0]
    assert young[0] == 40
    assert np.isnan(young[2:]).all()
