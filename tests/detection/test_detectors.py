"""Checks that every detector passes, and what each must catch and must leave alone."""

import importlib
import io
import pkgutil

import numpy as np
import pytest

from monitor_core.detection import detectors
from monitor_core.detection.detectors import limits
from monitor_core.detection.minute_history import MinuteHistory
from monitor_core.detection.scorer import Scorer
from monitor_core.detection.training import feature_table, fit, host_models
from monitor_core.frame import concat, make_frame
from monitor_core.metrics import CATALOGUE_TABLE, METRICS
from monitor_core.scores import DETECTORS, concat_scores
from tests.builders import T0, one, steady

LIMITS = {"cpu": 85.0, "memory": 85.0, "disk": 90.0}
ALARM = 0.75


def leaking(n=600, per_minute=3.0, hosts=("a", "b"), step=3_000):
    """The memory of the last host climbs from half of the time on."""
    frame = steady(hosts, n=n, step=step)
    minutes = np.maximum(np.arange(n) - n // 2, 0) * step / 60_000
    frame.values[len(hosts) - 1 :: len(hosts), 1] += np.minimum(np.round(minutes * per_minute, 1), 65)
    return frame


def standing(n=1_600, since=1_500):
    """A day and more, a sample a minute; then the CPU of the second host stands still."""
    frame = steady(("a", "b"), n=n, step=60_000)
    frame.values[2 * since + 1 :: 2, 0] = 31.4
    return frame


def restless(n=400, since=300):
    """A sample a minute; then the CPU of the second host has a burst now and then."""
    frame = steady(("a", "b"), n=n, step=60_000)
    frame.values[2 * since + 1 :: 2, 0] += 12 * (np.arange(n - since) % 7 == 0)
    return frame


RECORDINGS = {
    "restless": restless,
    "quiet": lambda: steady(("a", "b"), n=600),
    "leaking": leaking,
    "standing": standing,
}


@pytest.fixture(params=RECORDINGS)
def recording(request):
    return RECORDINGS[request.param]()


def forest_of(frame):
    return fit(feature_table([(frame, np.ones(len(frame), np.bool_))], 15_000))


@pytest.fixture(scope="module")
def forest():
    return forest_of(steady(("a", "b", "c"), n=600))


def models_of(frame):
    minutes = MinuteHistory()
    minutes.take(frame)
    end = int(frame.time.max()) + 60_000
    return host_models([(host, minutes.of(host, end)) for host in frame.hosts], {}, CATALOGUE_TABLE)


KNOWN = models_of(steady(("a", "b"), start=T0 - 4 * 86_400_000, n=4 * 1_440, step=60_000, seed=3))


def scorer(forest=None, **more):
    made = Scorer(LIMITS, **more)
    made.use(forest, 1 if forest else 0, KNOWN)
    return made


def after(frame, n=1, host="web-1", **values):
    """n ticks behind `frame` with these values, the other metrics as before."""
    start = int(frame.time.max()) + 3_000
    row = [values.get(key, 30.0) for key in METRICS]
    return make_frame(start + np.arange(n) * 3_000, [host] * n, np.tile(row, (n, 1)))


def same(one_, other):
    """Bit for bit, every array."""
    return all(
        getattr(one_, name).tobytes() == getattr(other, name).tobytes()
        for name in ("score", "by_detector", "contributions", "slope", "same_ms", "expected_high")
    )


def test_the_input_is_unchanged(forest, recording):
    before = recording.to_bytes()
    scorer(forest).score(recording)
    assert recording.to_bytes() == before


def test_the_same_samples_give_the_same_scores_however_they_are_cut(forest, recording):
    whole = scorer(forest).score(recording)
    cut = scorer(forest)
    parts = [cut.score(recording.take(rows)) for rows in np.array_split(np.arange(len(recording)), 17)]
    assert same(concat_scores(parts), whole)


def test_a_snapshot_goes_on_bit_for_bit(forest, recording):
    for at in (len(recording) // 2 + 51, len(recording) - 61):
        first, rest = recording.take(np.arange(at)), recording.take(np.arange(at, len(recording)))
        straight = scorer(forest)
        straight.score(first)
        restored = scorer(forest)
        restored.state.load(straight.state.to_bytes())
        assert same(restored.score(rest), straight.score(rest))
        assert restored.state.to_bytes() == straight.state.to_bytes()


def test_a_snapshot_from_before_the_slow_channel_is_refused():
    state = scorer().state
    state.rows(["a"])
    with np.load(io.BytesIO(state.to_bytes())) as saved:
        old = {name: saved[name] for name in saved.files if not name.startswith("bucket_")}
    blob = io.BytesIO()
    np.savez(blob, **old)
    with pytest.raises(ValueError, match="no usable column bucket_id_0"):
        state.load(blob.getvalue())


def test_scores_do_not_look_ahead(forest, recording):
    whole = scorer(forest).score(recording)
    most = len(recording) * 3 // 4 + 1
    short = scorer(forest).score(recording.take(np.arange(most)))
    assert same(whole.take(np.arange(most)), short)


def test_what_other_hosts_do_changes_nothing(forest):
    whole = scorer(forest).score(leaking(hosts=("a", "b", "c")))
    alone = scorer(forest).score(leaking(hosts=("a", "b", "c")).take(np.arange(0, 1_800, 3)))
    assert same(whole.take(np.arange(0, 1_800, 3)), alone)


def test_missing_metrics_are_normal(forest):
    frame = steady(n=300)
    frame.values[:, 2:] = np.nan
    frame.values[100:140, 0] = np.nan
    scores = scorer(forest).score(frame)
    assert not np.isnan(scores.score).any()
    assert scores.score.max() < ALARM
    assert scores.contributions[:, 2:].max() == 0


def test_a_metric_that_appears_later_is_no_alarm(forest):
    frame = steady(n=400)
    frame.values[:200, 3] = np.nan
    assert scorer(forest).score(frame).score.max() < ALARM


def test_warm_up_is_stated_and_only_limits_speak_in_it(forest):
    own = scorer(forest)
    scores = own.score(steady(n=30))
    assert not scores.warm.any()
    assert np.isnan(scores.expected_low).all()
    assert np.isnan(scores.by_detector[:, 1:]).all()
    assert own.score(after(steady(n=30), cpu=95)).score[0] > 0.8


def test_a_quiet_host_stays_quiet_for_a_day(forest):
    scores = scorer(forest).score(steady(n=5_000))
    assert (scores.score >= ALARM).sum() == 0


@pytest.mark.parametrize("metric", METRICS)
def test_a_jump_of_one_metric_is_caught_within_three_samples_and_named(forest, metric):
    own = scorer(forest)
    quiet = steady(n=400)
    own.score(quiet)
    scores = own.score(after(quiet, 3, **{metric: 70.0}))
    assert scores.score[2] >= ALARM
    assert METRICS[int(scores.contributions[2].argmax())] == metric


def test_a_harmless_oddity_on_a_quiet_host_is_not_an_alarm(forest):
    own = scorer(forest)
    quiet = steady(n=400, level=1)
    quiet.values[:] = 1.0
    own.score(quiet)
    assert own.score(after(quiet, 5, cpu=3.0, memory=1.0, disk=1.0, disk_io=1.0)).score.max() < ALARM


def test_a_lasting_shift_becomes_normal_within_the_hour(forest):
    own = scorer(forest)
    quiet = steady(n=1_200)
    own.score(quiet)
    scores = own.score(after(quiet, 1_200, cpu=60.0))
    assert scores.score[5] >= ALARM
    assert scores.score[-1] < ALARM


def test_every_score_names_what_was_expected_and_its_model_version(forest):
    own = scorer(forest)
    quiet = steady(n=400)
    own.score(quiet)
    scores = own.score(after(quiet, cpu=60.0))
    assert 15 < scores.expected_low[0, 0] < 30 < scores.expected_high[0, 0] < 45
    assert scores.model_version == 1
    assert scores.by_detector.shape == (1, len(DETECTORS))


def test_peeking_changes_nothing(forest):
    own = scorer(forest)
    own.score(steady(n=200))
    before = own.state.to_bytes()
    assert own.peek(one(cpu=99)).score[0] > 0.8
    assert own.peek(one(host="stranger", cpu=20)).score[0] == 0
    assert own.state.to_bytes() == before


def test_late_rows_are_known_and_not_learned_from():
    own = scorer()
    own.score(steady(n=100))
    late = concat([one(at=T0 + 30_000), one(at=T0 + 400_000), one(at=T0 + 390_000)])
    assert own.late_rows(late).tolist() == [0, 2]
    before = own.state.samples.copy()
    own.score(late.take(np.array([0])))
    assert (own.state.samples == before).all()


@pytest.mark.parametrize("name", [found.name for found in pkgutil.iter_modules(detectors.__path__)])
def test_every_detector_says_what_it_catches_misses_and_needs(name):
    text = importlib.import_module(f"{detectors.__name__}.{name}").__doc__
    assert all(word in text for word in ("Catches:", "Misses:", "Needs:"))


def test_a_limit_ends_only_a_little_below_itself():
    limit, was = np.array([[85.0]]), np.array([[False]])
    seen = []
    for value in (84.9, 85.1, 84.0, 82.5, 81.9, 84.0):
        was = limits.exceeded(np.array([[value]]), limit, was)
        seen.append(bool(was[0, 0]))
    assert seen == [False, True, True, True, False, False]


def test_a_host_may_have_its_own_limit():
    own = scorer(host_limits={"web-1": {"cpu": 95.0}})
    assert not own.score(one(cpu=90)).breach.any()
    assert own.score(one(host="web-2", cpu=90)).breach.any()
