"""The slow channel, part two: a sensor that repeats itself."""

import numpy as np
import pytest

from monitor_core.detection import explanation
from monitor_core.detection.scorer import Scorer
from monitor_core.detection.votes import STUCK
from monitor_core.frame import make_frame
from monitor_core.metrics import METRICS
from tests.builders import steady
from tests.detection.test_detectors import standing

DAY = 1_440


def votes(frame):
    return Scorer({}).score(frame).by_detector[:, STUCK]


def alone(since=1_500, n=1_600, value=31.4, keys=("cpu",)):
    """One host, a sample a minute, whose metrics stand still from sample `since` on."""
    frame = steady(("b",), n=n, step=60_000)
    for key in keys:
        frame.values[since:, METRICS.index(key)] = value
    return frame


def test_a_value_that_stands_still_is_stuck_after_half_an_hour_of_samples():
    assert np.flatnonzero(votes(alone()) > 0).tolist() == list(range(1_529, 1_600))


def test_it_is_the_host_and_the_metric_that_stand_still():
    scores = Scorer({}).score(standing())
    rows = np.flatnonzero(scores.by_detector[:, STUCK] > 0)
    assert set((rows % 2).tolist()) == {1}
    assert set(scores.contributions[rows].argmax(axis=1).tolist()) == {0}
    assert (~np.isnan(scores.same_ms[rows])).sum(axis=1).tolist() == [1] * len(rows)


def test_it_ends_with_the_first_other_value():
    frame = alone()
    frame.values[1_560, 0] = 31.5
    assert votes(frame)[1_559:1_562].tolist() == [0.8, 0.0, 0.0]


def test_nothing_is_said_in_the_first_day():
    assert np.isnan(votes(alone(since=1_300, n=DAY))).all()


def test_a_metric_that_hardly_ever_changes_may_stand_still():
    frame = alone(since=0)
    frame.values[:, 1:] = np.nan
    assert np.nanmax(votes(frame), initial=0) == 0


def test_what_stood_still_before_may_do_so_again_for_up_to_ten_times_as_long():
    frame = alone()
    frame.values[700:711, 0] = 29.9
    assert np.flatnonzero(votes(frame) > 0).tolist() == []
    frame = alone(n=1_620)
    frame.values[700:711, 0] = 29.9
    assert np.flatnonzero(votes(frame) > 0)[0] == 1_600


def test_the_end_of_the_range_is_no_stuck_sensor():
    assert np.nanmax(votes(alone(value=0.0))) == 0


def test_missing_values_neither_end_it_nor_count():
    frame = alone()
    frame.values[1_510:1_540, 0] = np.nan
    assert np.flatnonzero(votes(frame) > 0)[0] == 1_559


def test_an_outage_is_not_taken_for_a_value_that_stayed():
    frame = alone(n=3_000, since=2_900)
    kept = np.r_[0:1_000, 1_200:3_000]
    assert np.nanmax(votes(frame.take(kept))) == 0.8


def test_asking_about_another_value_is_not_stuck():
    scorer = Scorer({})
    scorer.score(alone())
    at = int(alone().time[-1]) + 60_000
    asked = [scorer.peek(make_frame([at], ["b"], [[cpu, 30, 30, 30]])) for cpu in (31.4, 31.6)]
    assert [float(scores.by_detector[0, STUCK]) for scores in asked] == [0.8, 0.0]


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (("cpu",), "CPU has shown exactly 31.4\u202f% for 99 min, which never happened before"),
        (("cpu", "disk"), "CPU and Disk used have shown exactly the same for 99 min, which never happened before"),
    ],
)
def test_the_sentence(keys, words):
    frame = alone(keys=keys)
    slowly = explanation.slow(frame.values, Scorer({}).score(frame), 1_599)
    assert slowly.stuck == words
    assert slowly.decided
    assert slowly.trend is None
