"""What would have been normal: the values that are told really are, and those a bit beyond are not."""

import re

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as some

from monitor_core.detection import explanation
from monitor_core.detection.counterfactual import ways_back
from monitor_core.detection.scorer import Scorer
from monitor_core.detection.unusual import Bar
from monitor_core.frame import make_frame
from monitor_core.incidents import Change
from monitor_core.metrics import METRICS
from tests.builders import T0, one, steady
from tests.detection.test_detectors import ALARM, LIMITS, forest_of

LATER = T0 + 1_000_000


@pytest.fixture(scope="module")
def forest():
    return forest_of(steady(("a", "b", "c"), n=600))


def knowing(centre, spread, forest=None, seed=0):
    """A scorer whose host wavers around `centre` [m] by `spread` [m]."""
    rng = np.random.default_rng(seed)
    values = np.round(np.clip(centre + rng.normal(0, 1, (300, 4)) * spread, 0, 100), 1)
    own = Scorer(LIMITS)
    own.use(forest, 1 if forest else 0)
    own.score(make_frame(T0 + np.arange(300) * 3_000, ["web-1"] * 300, values))
    return own


def sample(values):
    return make_frame([LATER], ["web-1"], [values])


BAR = Bar(4.0, ALARM)


def is_normal(own, values, bar=BAR):
    """By what opens incidents: the distance, the slow channel (trend, stuck), the limits."""
    scores = own.peek(sample(values))
    slowly = np.nan_to_num(scores.by_detector[0, [3, 4]]).max() >= bar.slow
    return scores.distance[0] < bar.distance and not slowly and not scores.breach.any()


def moved(values, way, step=0.0):
    """`values` with a way's changes, each `step` short of where it would have to go."""
    out = list(values)
    for change in way:
        m = METRICS.index(change.metric)
        beyond = change.value + (step if change.below else -step)
        out[m] = min(beyond, values[m]) if change.below else max(beyond, values[m])
    return out


percent = some.floats(0, 100).map(lambda value: round(value, 1))
four = some.tuples(percent, percent, percent, percent)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    centre=four,
    spread=some.tuples(*[some.floats(0, 12)] * 4),
    values=four,
    seed=some.integers(0, 9),
    has_forest=some.booleans(),
    distance=some.sampled_from([1.5, 3.52, 4.0, 6.3]),
)
def test_every_way_back_is_normal_and_a_bit_beyond_it_is_not(
    forest, centre, spread, values, seed, has_forest, distance
):
    alarm = Bar(distance, ALARM)
    own = knowing(np.array(centre), np.array(spread), forest if has_forest else None, seed)
    assume(not is_normal(own, values, alarm))
    before = own.state.to_bytes()
    found = ways_back(own, sample(values), 0, alarm)
    assert own.state.to_bytes() == before
    for way in found:
        assert is_normal(own, moved(values, way), alarm)
        if len(way) == 1:
            assert not is_normal(own, moved(values, way, step=1.0), alarm)
    if not any(len(way) == 1 for way in found):
        middle = own.state.median[0]
        for m in range(4):
            alone = list(values)
            alone[m] = np.fmin(middle[m], own.limits_of(["web-1"])[0, m] - 3)
            assert not is_normal(own, alone, alarm)


def test_a_metric_that_does_not_help_is_left_out():
    own = knowing(np.array([30.0, 50, 50, 20]), np.ones(4))
    ((change,),) = ways_back(own, sample([30, 80, 50, 20]), 0, BAR)
    assert (change.metric, change.below) == ("memory", True)
    assert 60 <= change.value <= 63


def test_a_host_that_is_told_of_less_is_normal_sooner():
    own = knowing(np.array([30.0, 50, 50, 20]), np.ones(4))

    def told(distance):
        ((change,),) = ways_back(own, sample([30, 84, 50, 20]), 0, Bar(distance, ALARM))
        return change.value

    assert told(2.5) < told(4.0) < told(6.0)
    assert 66 <= told(6.0) <= 68  # a scale is 3 points, the middle is 50
    assert ways_back(own, sample([30, 84, 50, 20]), 0, Bar(12.0, ALARM)) == ()  # it is normal there
    assert ways_back(own, sample([30, 97, 50, 20]), 0, Bar(np.inf, ALARM)) == ((Change("memory", 85.0, True),),)


def test_a_value_that_fell_has_to_rise():
    own = knowing(np.array([60.0, 50, 50, 20]), np.ones(4))
    ((change,),) = ways_back(own, sample([5, 50, 50, 20]), 0, BAR)
    assert (change.metric, change.below) == ("cpu", False)


def test_two_that_are_both_far_off_have_to_change_together():
    own = knowing(np.array([30.0, 50, 50, 20]), np.ones(4))
    (way,) = ways_back(own, sample([70, 80, 50, 20]), 0, BAR)
    assert {change.metric for change in way} == {"cpu", "memory"}
    three = ways_back(own, sample([70, 80, 85, 20]), 0, BAR)
    assert [{change.metric for change in way} for way in three] == [{"cpu", "memory", "disk"}]


def test_in_warm_up_only_the_limit_counts_and_ends_a_little_below_itself():
    own = Scorer(LIMITS)
    assert ways_back(own, one(cpu=97.0), 0, BAR) == ()  # a stranger
    own.score(one(cpu=97.0))
    assert ways_back(own, one(cpu=97.0), 0, BAR) == ((Change("cpu", 82.0, True),),)


def test_a_host_that_has_long_gone_on_is_not_asked():
    own = knowing(np.array([30.0, 50, 50, 20]), np.ones(4))
    assert ways_back(own, make_frame([T0], ["web-1"], [[90, 50, 50, 20]]), 0, BAR) == ()


def test_the_sentence_names_ways_and_pairs():
    memory, cpu = Change("memory", 74.0, True), Change("cpu", 55.0, False)

    def say(*ways):
        return re.sub("\u202f", " ", explanation.counterfactual(ways).sentence)

    assert say((memory,), (cpu,)) == "Normal with memory ≤ 74 % or CPU ≥ 55 %, over a few samples"
    assert say((Change("disk_io", 40.0, True), memory)).startswith("Normal with disk I/O busy ≤ 40 % and memory ≤ 74 %")
    assert explanation.counterfactual(()) is None


def test_the_loudest_detector_is_named_and_a_limit_outranks_all():
    own = knowing(np.array([30.0, 50, 50, 20]), np.ones(4))
    scores = own.peek(make_frame([LATER] * 3, ["web-1"] * 3, [[60, 50, 50, 20], [90, 50, 50, 20], [30, 50, 50, 20]]))
    assert [explanation.loudest(scores, row) for row in range(2)] == ["robust_z", "limits"]
