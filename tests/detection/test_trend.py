"""The slow channel, part one: what fills up, and when it is full."""

import numpy as np
import pytest

from monitor_core.detection import explanation
from monitor_core.detection.buckets import BUCKET_MS, WINDOW
from monitor_core.detection.detectors import trend
from monitor_core.detection.scorer import Scorer
from monitor_core.detection.votes import TREND
from monitor_core.frame import concat
from monitor_core.incidents import Reason
from monitor_core.metrics import CATALOGUE_TABLE, METRICS
from tests.builders import steady
from tests.detection.test_detectors import leaking

MEMORY = METRICS.index("memory")
FILLS = CATALOGUE_TABLE.fills
MINUTE = 60_000
ALARM = 0.75


def window(values):
    return np.array([values], dtype=float)


def one_climb(values, bucket_ms=15_000):
    return trend.climb(window(values), bucket_ms)[0]


def score(frame, **limits):
    return Scorer(limits).score(frame)


def minutes_until(mask, frame, since):
    """How long after sample number `since` of host b the first of its samples is in the mask."""
    first = int(np.flatnonzero(mask)[0])
    return (frame.time[first] - frame.time[since]) / MINUTE


def test_the_slope_is_that_of_most_pairs_with_an_interval_around_it():
    low, slope, high, reached = one_climb([60, 61.2, 61.9, 63.1, 64, 64.8, 66.1, 67, 68.2, 68.9, 70, 71.1])
    assert slope == pytest.approx(4.0, abs=0.1)
    assert 3.8 < low < slope < high < 4.2
    assert reached == 71.1


def test_one_wild_bucket_changes_little():
    values = np.linspace(60, 71, 12)
    values[4] = 95
    assert one_climb(values)[1] == pytest.approx(4.0, abs=0.1)


@pytest.mark.parametrize(
    "values",
    [
        [50] * 12,
        np.linspace(71, 60, 12),
        [50, 58, 49, 57, 51, 58, 50, 59, 52, 58, 53, 60],
        [50] * 6 + [60] * 6,
        [50, 52, 54, 56, 58, 60, 62, 64, 64, 64, 64, 64],
        np.linspace(60, 60.9, 12),
        [*np.linspace(60, 70, 11), np.nan],
        [50, 50.02, 50.04, 50.06, 50.08, 50.1, 50.12, 54, 58, 62, 66, 70],
    ],
    ids=["flat", "falls", "swings", "a step", "climbed and stopped", "hardly rises", "a hole", "any slope at all"],
)
def test_what_does_not_climb_steadily_has_no_slope(values):
    assert np.isnan(one_climb(values)).all()


def test_the_time_that_is_left():
    left = trend.minutes_left(np.array([80.0, 80.0, 99.0]), np.array([4.0, np.nan, 0.5]), np.array([100.0] * 3))
    assert left.tolist() == [5.0, np.inf, 2.0]


def judged(slope, level, before=np.nan, scale=0, reached=50):
    climbs = np.full((1, len(BUCKET_MS), len(FILLS), 4), np.nan)
    climbs[0, scale, 0] = [*slope, reached]
    return trend.judge(
        climbs, window([level, 50]), np.full((1, len(BUCKET_MS), len(FILLS)), before), CATALOGUE_TABLE.high[FILLS]
    )


def test_the_score_begins_at_the_horizon_and_rises_as_it_comes_closer():
    assert trend.HORIZON[0] == 18
    assert [float(judged([1, 1, 1], level)[0][0, 0]) for level in (81, 82, 91, 100)] == [0.0, 0.75, 0.85, 0.95]


def test_the_slope_that_speaks_is_the_one_that_is_told():
    _, slope = judged([0.9, 1, 1.1], 90)
    assert slope[0, 0].tolist() == [0.9, 1, 1.1]
    assert np.isnan(slope[0, 1]).all()
    assert np.isnan(judged([0.9, 1, 1.1], 50)[1]).all()


def test_a_climb_that_was_stopped_is_over_at_once():
    assert judged([1, 1, 1], 90, reached=90.7)[0].max() >= ALARM
    assert judged([1, 1, 1], 90, reached=90.8)[0].max() == 0


@pytest.mark.parametrize("scale", range(4))
def test_a_climb_is_news_only_beyond_what_was_before(scale):
    assert judged([0.5] * 3, 95, before=92.5, scale=scale)[0].max() == 0
    assert judged([0.5] * 3, 95, before=92, scale=scale)[0].max() >= ALARM


def test_only_the_longest_window_must_know_what_was_before():
    assert [bool(judged([0.5] * 3, 95, scale=scale)[0].max() >= ALARM) for scale in range(4)] == [1, 1, 1, 0]


def saw_teeth(phase):
    """Which samples of a host whose memory climbs from 50 to 98 within 20 minutes, again and again, are alarms?"""
    frame = steady(("b",), n=4_000)
    frame.values[:, MEMORY] = 50 + (np.arange(4_000) + phase) % 400 * 0.12
    return score(frame).by_detector[:, TREND] >= ALARM


def test_saw_teeth_are_told_in_the_first_minutes_only():
    assert saw_teeth(0)[:400].any()
    assert not any(saw_teeth(phase)[900:].any() for phase in (0, 140, 280))


@pytest.mark.parametrize(("per_minute", "within"), [(4.0, 4.0), (2.0, 8.0), (1.0, 14.0)])
def test_a_leak_is_caught_long_before_its_limit_and_named(per_minute, within):
    frame = leaking(n=2_400, per_minute=per_minute)
    scores = score(frame, memory=85.0)
    climbing = scores.by_detector[:, TREND] >= ALARM
    assert minutes_until(climbing, frame, 2_400) <= within
    assert minutes_until(scores.breach[:, MEMORY], frame, 2_400) > 3 * within
    first = int(np.flatnonzero(climbing)[0])
    assert scores.contributions[first].argmax() == MEMORY
    assert np.isnan(np.delete(scores.slope[first], MEMORY, axis=0)).all()


def test_a_slow_leak_is_caught_hours_before_it_is_full_once_a_day_is_known():
    frame = leaking(n=2 * 1_860, per_minute=0.05, hosts=("b",), step=MINUTE)
    scores = score(frame)
    caught = np.flatnonzero(scores.by_detector[:, TREND] >= ALARM)[0]
    full = 1_860 + 70 / 0.05
    assert 1_860 < caught < full - 300


def test_a_daily_rise_that_yesterday_had_too_is_nothing():
    frame = steady(n=3 * 1_440, step=MINUTE)
    minutes = np.arange(len(frame)) % 1_440
    frame.values[:, MEMORY] += np.interp(minutes, [0, 480, 840, 1_440], [0, 0, 36, 0])
    scores = score(frame)
    assert (scores.by_detector[1_440:, TREND] >= ALARM).sum() == 0


def test_a_step_is_left_to_others():
    frame = steady(("b",), n=600)
    frame.values[300:, MEMORY] += 30
    assert np.nanmax(score(frame).by_detector[:, TREND]) == 0


def test_cpu_does_not_fill_up():
    frame = steady(("b",), n=600)
    frame.values[300:, 0] += np.arange(300) * 0.2
    assert np.nanmax(score(frame).by_detector[:, TREND]) == 0


def test_after_a_gap_the_old_slope_is_forgotten():
    frame = leaking(n=600, hosts=("b",), per_minute=4.0).take(np.arange(390))
    later = steady(("b",), start=int(frame.time[-1]) + 7_200_000, n=40, level=80)
    scores = score(concat([frame, later]))
    assert scores.by_detector[389, TREND] >= ALARM
    assert scores.by_detector[390:, TREND].max() == 0


def test_five_minutes_between_samples_are_enough_for_the_longest_window():
    frame = leaking(n=800, per_minute=0.05, hosts=("b",), step=5 * MINUTE)
    assert np.nanmax(score(frame).by_detector[400:, TREND]) >= ALARM


def test_windows_are_time_not_samples():
    often = leaking(n=1_600, hosts=("b",), per_minute=3.0)
    often.values[:, MEMORY] = 30 + np.maximum(np.arange(1_600) - 800, 0) * 0.08
    seldom = often.take(np.arange(0, 1_600, 5))
    first = [
        int(frame.time[np.flatnonzero(score(frame).by_detector[:, TREND] >= ALARM)[0]]) for frame in (often, seldom)
    ]
    assert abs(first[0] - first[1]) <= 15_000


def said(level, slope):
    """The sentence about memory at `level` that climbs by `slope` (low, middle, high)."""
    frame = leaking(n=600, hosts=("b",), per_minute=4.0)
    scores = score(frame)
    scores.slope[599, MEMORY] = slope
    frame.values[599, MEMORY] = level
    return explanation.slow(frame.values, scores, 599)


def test_the_sentence_says_how_fast_and_how_long():
    slowly = said(90.5, (1.36, 1.9, 2.4))
    assert slowly.decided
    text = "Memory is climbing 1.9\u202f% a minute: full in about 5 min if it goes on (4–7 min)"
    assert slowly.trend == text
    assert explanation.title((), Reason.SCORE_PERSISTED, slowly) == text


@pytest.mark.parametrize(
    ("level", "slope", "words"),
    [
        (70, (0.04, 0.05, 0.06), "climbing 3.0\u202f% an hour: full in about 10 h if it goes on (8–12 h)"),
        (90, (2.0, 2.0, 2.0), "full in about 5 min if it goes on"),
        (90, (-0.1, 1.0, 2.0), "full in about 10 min if it goes on (5 min at the earliest)"),
        (90, (0.05, 0.1, 0.2), "full in about 100 min if it goes on (50 min–3 h)"),
        (100, (1.0, 1.0, 1.0), "full in about 1 min if it goes on"),
    ],
)
def test_the_sentence_in_other_sizes(level, slope, words):
    assert said(level, slope).trend.endswith(words)


def test_the_last_window_is_twelve_buckets_long():
    assert WINDOW == 12
    assert trend.HORIZON.tolist() == [18, 72, 144, 720]
