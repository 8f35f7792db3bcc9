import pytest

from monitor_core.detection.detectors import neighbours
from monitor_core.detection.host_state import BASELINE_LEVELS
from monitor_core.detection.multiscale import DAY_MS
from monitor_core.detection.stage import BUDGET, PAST, Known, Stage, learned

LEVEL_MS = 15_000.0
MINUTE, HOUR = 60_000, 3_600_000


def known(levels, version=1, days=0.0, past=None, budget_ms=None, **more):
    return learned(Known(levels, LEVEL_MS, version, int(days * DAY_MS), past, budget_ms, **more))


@pytest.mark.parametrize(
    ("levels", "version", "past", "stage", "progress", "following"),
    [
        (0, 0, None, Stage.LIMITS_ONLY, 0.0, "last hour in 3 min and forest after the first training"),
        (6, 1, None, Stage.LIMITS_ONLY, 0.5, "last hour in 2 min"),
        (12, 0, None, Stage.LAST_HOUR, 0.05, "full baseline in 57 min and forest after the first training"),
        (239, 1, None, Stage.LAST_HOUR, 0.996, "full baseline in 1 min"),
        (240, 0, None, Stage.LAST_HOUR, 1.0, "forest after the first training"),
        (240, 1, None, Stage.FOREST, 1.0, None),
        (240, 1, 0.5, Stage.FOREST, 0.5, "all of its own past in 6 days"),
        (240, 1, 1.0, Stage.DAYS, 1.0, None),
        (999, 1, 1.0, Stage.DAYS, 1.0, None),
    ],
)
def test_stages_follow_each_other(levels, version, past, stage, progress, following):
    told = known(levels, version, 1.5, past)
    assert (told.stage, told.progress, told.next) == (stage, progress, following)


@pytest.mark.parametrize(
    ("days", "past", "trains", "following"),
    [
        (0.0, 0.0, True, "own past in 60 min"),
        (0.03, 0.0, True, "own past in 17 min"),
        (0.06, 0.0, True, "own past with the next training"),
        (0.06, 0.02, True, "all of its own past in 7 days"),
        (6.5, 0.7, True, "all of its own past in 12 h"),
        (9.0, 0.7, True, "all of its own past with the next training"),
        (0.0, 0.0, False, "own past with the next training"),
        (9.0, 1.0, False, None),
    ],
)
def test_its_own_past_comes_after_an_hour_and_all_of_it_after_a_week(days, past, trains, following):
    assert known(240, 1, days, past, trains=trains).next == following


def test_the_two_that_come_first_are_told_and_no_more():
    told = known(12, 1, 0.002, 0.0, 3 * HOUR)
    assert told.next == "full baseline in 57 min and own past in 58 min"
    assert [part.name for part in told.parts if part.next] == ["last hour", PAST, BUDGET]


def test_the_sentence_names_who_speaks_and_what_comes():
    assert known(3).sentence == "Learning this host: only limits speak; next: last hour in 3 min"
    told = known(240, 1, 1, 1 / 3, 2 * HOUR)
    assert told.sentence == (
        "Learning this host: limits, last hour, forest and 33\u202f% of its own past speak; "
        "next: alert budget in 2 h and all of its own past in 6 days"
    )
    told = known(240, 1, 1, 1 / 3, 0)
    assert told.sentence.endswith("own past speak, within its alert budget; next: all of its own past in 6 days")
    told = known(240, 1, 9, 1.0, 0)
    assert told.sentence == "Watching this host: limits, last hour, forest and own past speak, within its alert budget"


def test_a_part_that_a_host_will_never_have_is_not_named():
    assert [part.name for part in known(240).parts] == ["limits", "last hour", "forest"]


def test_who_has_no_say_yet_is_not_said_to_speak():
    told = known(3, 1, 9, 1.0)
    assert [part.share for part in told.parts] == [1.0, 0.0, 0.0, 1.0]


def test_a_host_that_sends_rarely_takes_longer():
    assert learned(Known(0, 60_000.0, 1, 0)).next == "last hour in 12 min"


def test_the_hour_of_the_last_hour_is_the_baseline():
    assert BASELINE_LEVELS * LEVEL_MS == HOUR == neighbours.FIRST_MS
