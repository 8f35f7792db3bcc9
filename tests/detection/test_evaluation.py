import math

import numpy as np
import pytest

from monitor_core.detection import evaluation
from monitor_core.detection.evaluation import Event, Series

LEAK = Event(100, 139, "memory_leak", frozenset({1}))


def series(alarms, events=(LEAK,), n=1_000, start=0, contributions=None):
    alarm = np.zeros(n, dtype=bool)
    alarm[list(alarms)] = True
    shares = np.tile([0.5, 0.3, 0.2, 0.0], (n, 1)) if contributions is None else contributions
    return Series(alarm * 0.9, alarm, shares, tuple(events), 3.0, start)


def found(*all_series):
    return evaluation.measures(evaluation.total([evaluation.count(one) for one in all_series]))[0]


def test_an_event_is_found_by_one_alarm_in_it_and_its_delay_is_told():
    row = found(series([120]))
    assert (row.events, row.precision, row.recall, row.f1, row.delay_s) == (1, 1.0, 1.0, 1.0, 60.0)
    assert row.false_per_day == 0


def test_one_alarm_in_an_event_is_not_taken_for_all_of_it():
    assert evaluation.count(series([120])).good == evaluation.count(series(range(100, 140))).good == 1


def test_an_alarm_up_to_five_samples_late_still_counts():
    assert found(series([144])).recall == 1
    assert found(series([145])).recall == 0


def test_alarms_up_to_ten_samples_apart_are_one_false_alarm():
    assert evaluation.count(series([500, 510, 520])).false == 1
    assert evaluation.count(series([500, 511])).false == 2


def test_an_alarm_that_lasts_is_a_false_one_every_sixty_samples():
    assert evaluation.count(series(range(500, 620))).false == 2
    assert evaluation.count(series(range(500, 621))).false == 3


def test_always_on_finds_everything_and_is_punished():
    row = found(series(range(1_000)))
    assert row.recall == 1
    assert row.precision == 1 / 16


def test_false_alarms_are_told_per_normal_day_and_hour():
    row = found(series([500, 700], n=1_240))
    assert row.false_per_hour == 2
    assert row.false_per_day == 48


def test_what_comes_before_the_start_is_not_judged():
    assert evaluation.count(series([10, 500], start=300)) == evaluation.count(series([500], events=(), start=300))


def test_an_alarm_during_something_benign_is_false_and_told_apart():
    counts = evaluation.count(series([120, 500], events=(Event(100, 139, "nightly_backup", benign=True),)))
    assert (counts.false, counts.false_benign, counts.outcomes) == (2, 1, ())


def test_the_culprit_is_looked_for_in_the_sample_that_raised_the_alarm():
    shares = np.tile([0.1, 0.7, 0.2, 0.0], (1_000, 1))
    shares[121:] = [0.7, 0.2, 0.1, 0.0]
    row = found(series([120, 121], contributions=shares))
    assert (row.top1, row.top3) == (1, 1)
    row = found(series([121], contributions=shares))
    assert (row.top1, row.top3) == (0, 1)


def test_each_kind_has_a_row_of_its_own():
    second = Event(600, 620, "disk_fill", frozenset({3}))
    rows = evaluation.measures(evaluation.count(series([120], events=(LEAK, second))))
    assert [(row.kind, row.events, row.recall) for row in rows] == [
        ("all", 2, 0.5),
        ("disk_fill", 1, 0.0),
        ("memory_leak", 1, 1.0),
    ]


def test_no_alarm_at_all_has_no_precision():
    row = found(series([]))
    assert math.isnan(row.precision)
    assert math.isnan(row.delay_s)
    assert row.recall == 0


def ranked(score, events=((100, 139), (300, 309), (420, 421))):
    zero = np.zeros((len(score), 4))
    return evaluation.ranking(Series(score, score > 1, zero, tuple(Event(*e) for e in events), 3.0))


@pytest.mark.parametrize(("coarseness", "expected"), [(1e-9, 0.4502406989), (0.5, 0.4051625698)])
def test_the_volume_under_the_surface_agrees_with_the_published_definition(coarseness, expected):
    score = np.sin(np.arange(500) * 0.7) + np.cos(np.arange(500) * 0.13)
    score[[110, 130, 305, 421]] += 3
    assert ranked(np.round(score / coarseness) * coarseness) == pytest.approx(expected, abs=1e-9)


def test_a_better_ranking_has_a_larger_volume():
    truth = np.zeros(500)
    truth[100:140] = 1
    late = np.roll(truth, 30)
    volumes = [ranked(score, ((100, 139),)) for score in (truth, late, 1 - truth)]
    assert volumes[0] > 0.9
    assert volumes == sorted(volumes, reverse=True)


def test_without_an_event_there_is_no_volume():
    assert math.isnan(ranked(np.arange(500.0), ()))
