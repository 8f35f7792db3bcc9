"""What a host did before, and how far from it the present is."""

import numpy as np
import pytest

from benchmarks.bench_adapter import Level
from monitor_core.detection import multiscale
from monitor_core.detection.detectors import neighbours
from monitor_core.detection.minute_history import MinuteHistory, minute_means
from monitor_core.detection.scorer import Scorer
from monitor_core.detection.votes import NEIGHBOURS, ROBUST_Z, distance_of
from monitor_core.frame import concat, make_frame
from monitor_core.metrics import CATALOGUE_TABLE, METRICS
from tests.builders import T0, steady
from tests.detection.test_detectors import models_of

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
ALARM = 0.75


def days(n=5, start=T0, seed=0, step=MINUTE, level=30.0):
    """One host that is busy around each noon: CPU up to 70 instead of 30."""
    frame = steady(("a",), start=start, n=n * DAY // step, step=step, seed=seed, level=level)
    frame.values[:, 0] += busy(frame.time, 12)
    return frame


def busy(time, hour):
    """40 points more, rising for an hour and falling for an hour."""
    return np.round(40 * np.maximum(1 - np.abs(time % DAY / HOUR - hour), 0), 1)


def judged(history, frame):
    own = Scorer({})
    own.use(None, 1, models_of(history))
    return own.score(frame)


def test_features_of_a_ring_are_those_of_the_whole_history():
    frame = days(1)
    state = Scorer({}).state
    rows = state.rows(["a"])
    for i in range(len(frame)):
        state.push(rows, frame.time[i : i + 1], frame.values[i : i + 1])
        state.fill_minutes(rows, frame.time[i : i + 1], frame.values[i : i + 1], state.last_gap(rows))
        if i in {3, 90, 700}:
            expected = multiscale.windows(frame.values[: i + 1], [i])
            assert np.array_equal(state.window(rows), expected)


def test_minutes_are_means_whoever_sends_how_often_and_wherever_frames_are_cut():
    frame = steady(("a", "b"), n=500)
    history = MinuteHistory()
    for part in np.array_split(np.arange(len(frame)), 13):
        history.take(frame.take(part))
    time, means = history.of("a", T0 + DAY)
    own = frame.code == 0
    plain_time, plain = minute_means(frame.time[own], frame.values[own])
    assert np.array_equal(time, plain_time)
    assert np.allclose(means, plain)
    assert means[0, 0] == pytest.approx(frame.values[own][:20, 0].mean())


def test_a_minute_that_is_not_over_is_not_history():
    history = MinuteHistory()
    history.take(steady(n=50))
    assert len(history.of("web-1", T0 + 150_000)[0]) == 2


def test_what_comes_every_noon_is_nothing_but_at_night_it_is():
    history = days(8)
    after = days(2, start=T0 + 8 * DAY, seed=1)
    usual = judged(history, after)
    assert usual.by_detector[200:, NEIGHBOURS].max() < ALARM
    after.values[:, 0] += busy(after.time, 3)
    seen = judged(history, after).by_detector[:, NEIGHBOURS]
    assert seen[busy(after.time, 3) > 20][:25].min() >= ALARM


def test_what_is_shown_fades_for_longer_than_what_decides():
    after = days(1, start=T0 + 8 * DAY, seed=1)
    after.values[900:910, 1] += 45
    scores = judged(days(8), after)
    shown = scores.by_detector[:, NEIGHBOURS]
    assert shown[905] >= ALARM
    assert scores.distance[905] >= 4
    assert shown[925:940].min() >= ALARM
    assert scores.distance[925:].max() < 4


def test_the_metric_that_did_it_has_the_largest_part():
    after = days(1, start=T0 + 8 * DAY, seed=1)
    after.values[900:, 3] = 80.0
    scores = judged(days(8), after)
    assert METRICS[int(scores.contributions[905].argmax())] == "disk_io"


def test_odd_pairs_of_ordinary_values_are_found():
    rng = np.random.default_rng(2)
    n = 5 * 1_440
    load = np.round(30 + 15 * np.sin(np.arange(n) / 37) + rng.normal(0, 0.5, n), 1)
    both = np.stack([load, load, np.full(n, 30.0), np.full(n, 5.0)], axis=1)
    history = make_frame(T0 + np.arange(n) * MINUTE, ["a"] * n, both)
    later = make_frame(T0 + (n + np.arange(400)) * MINUTE, ["a"] * 400, both[:400])
    whole = judged(history, concat([later]))
    apart = later.take(np.arange(400))
    apart.values[300:, 1] = 60 - apart.values[300:, 0]
    assert judged(history, apart).distance[305:].max() > whole.distance[200:].max() + 1


@pytest.mark.parametrize("little", [3.0, 4.0])
def test_an_idle_host_that_does_a_little_is_no_alarm(little):
    idle = days(5, level=1)
    idle.values[:] = 1.0
    after = days(1, start=T0 + 8 * DAY)
    after.values[:] = 1.0
    after.values[900:960, 0] = little
    assert np.nanmax(judged(idle, after).by_detector[:, NEIGHBOURS]) < ALARM


def test_fast_detectors_fall_silent_where_the_neighbours_see_every_sample_and_only_there():
    after = steady(("a",), start=T0 + 8 * DAY, n=300, step=MINUTE, seed=1)
    after.values[200:, 0] += 25
    slowly = judged(days(8), after)
    assert slowly.by_detector[210, ROBUST_Z] == 0
    often = steady(("a",), start=T0 + 8 * DAY, n=3_000, seed=1)
    often.values[2_000:, 0] += 25
    assert judged(days(8), often).by_detector[2_004, ROBUST_Z] >= ALARM


def test_a_short_history_has_little_to_say():
    after = days(1, start=T0 + 8 * DAY, seed=1)
    after.values[900:, 3] = 80.0
    young = judged(days(8).take(np.arange(4 * 1_440 + 600, 5 * 1_440)), after)
    assert young.by_detector[905, NEIGHBOURS] < judged(days(8), after).by_detector[905, NEIGHBOURS]
    assert young.by_detector[905, ROBUST_Z] > 0


def test_less_than_an_hour_is_no_model():
    assert models_of(days(1).take(np.arange(59))) is None


def test_rows_that_were_not_normal_are_not_among_the_neighbours():
    history = days(8)
    time, means = minute_means(history.time, history.values)
    noon = busy(time, 12) > 20
    model = neighbours.fit(time, means, CATALOGUE_TABLE, ~noon)
    assert np.nanmax(model.value[0, :, 0]) < 55


@pytest.mark.parametrize(
    ("lasted", "fitted", "due"), [(0.9, 0, 0), (1, 0, 1), (1.9, 1, 0), (2, 1, 1), (47, 24, 0), (48, 24, 1)]
)
def test_models_are_made_after_an_hour_then_when_history_doubles_then_daily(lasted, fitted, due):
    assert neighbours.is_due(int(lasted * HOUR), int(fitted * HOUR)) is bool(due)


def test_the_adapter_takes_any_metrics_in_any_order():
    rng = np.random.default_rng(4)
    table = np.round(rng.normal(0, 3, (400, 5)) * np.array([1, 10, 1e6, 1e-3, 1]) + 7, 6)
    table[300:310, 2] += 5e7
    names = ["a", "b", "c", "d", "e"]

    def play(order):
        own = Level([names[i] for i in order], 60.0)
        return np.array([own.update(1_600_000_000 + 60 * i, table[i, order]) for i in range(len(table))])

    straight = play([0, 1, 2, 3, 4])
    assert np.allclose(straight, play([3, 1, 4, 0, 2]), atol=2e-3)
    assert distance_of(straight[300:304].max()) > 2 * distance_of(straight[200:300].max())
