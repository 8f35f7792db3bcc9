import numpy as np

from monitor_core.detection.scorer import Scorer
from monitor_core.frame import make_frame
from tests.builders import T0, steady

SHIFT_AT = T0 + 400 * 3_000
UNUSUAL = 0.75


def shifted(n, start=SHIFT_AT, cpu=60.0, spread=1.0):
    values = np.round(30 + np.random.default_rng(3).normal(0, spread, (n, 4)), 1)
    values[:, 0] += cpu - 30
    return make_frame(start + np.arange(n) * 3_000, ["web-1"] * n, values)


def known_host(**limits):
    scorer = Scorer({"cpu": limits.get("cpu")})
    scorer.score(steady())
    return scorer


def test_the_new_level_is_expected_at_once_and_the_old_one_is_not():
    scorer = known_host()
    assert scorer.score(shifted(60)).score[-1] >= UNUSUAL
    assert scorer.state.relearn(0, SHIFT_AT)
    after = SHIFT_AT + 60 * 3_000
    assert scorer.score(shifted(20, after)).score.max() < UNUSUAL
    assert scorer.score(shifted(5, after + 60_000, cpu=30.0)).score[-1] >= UNUSUAL


def test_shortly_after_the_shift_the_spread_of_before_is_still_known():
    scorer = Scorer({})
    noisy = steady().values
    rng = np.random.default_rng(4)
    noisy[:] = np.round(30 + rng.normal(0, 8, noisy.shape), 1)
    scorer.score(make_frame(steady().time, ["web-1"] * len(noisy), noisy))
    scale = scorer.state.scale[0, 1]
    scorer.score(shifted(6, spread=8.0))
    assert scorer.state.relearn(0, SHIFT_AT)
    assert scorer.state.scale[0, 1] > 0.4 * scale > 1
    assert abs(scorer.state.median[0, 0] - 60) < 12


def test_metrics_that_stayed_where_they_were_are_expected_there():
    scorer = known_host()
    scorer.score(shifted(10))
    scorer.state.relearn(0, SHIFT_AT)
    assert np.abs(scorer.state.median[0, 1:] - 30).max() < 2


def test_nothing_begins_again_over_a_limit_or_before_the_host_is_warm():
    scorer = known_host(cpu=50.0)
    scorer.score(shifted(10))
    cold = Scorer({})
    cold.score(steady(n=10))
    for one in (scorer, cold):
        before = one.state.to_bytes()
        assert not one.state.relearn(0, SHIFT_AT)
        assert one.state.to_bytes() == before


def test_a_value_that_stands_still_is_normal_from_now_on():
    scorer = known_host()
    still = shifted(100)
    still.values[:, 2] = 41.3
    scorer.score(still)
    scorer.state.relearn(0, SHIFT_AT)
    assert scorer.state.same_longest[0, 2] == 99 * 3_000
