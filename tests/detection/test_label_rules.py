import pytest

from monitor_core.detection.label_rules import LabelRules, culprits
from monitor_core.incidents import Evidence
from monitor_core.labels import DAY_MS, Culprit, Direction, Label, Labelled, effect
from tests.builders import T0

MINUTE = 60_000
CPU_HIGH = Culprit("cpu", Direction.HIGH)


def labelled(label=Label.NEVER, incident=7, **changes):
    base = {"kind": "abnormal", "culprits": (CPU_HIGH,), "opened_at": T0, "resolved_at": None, "at": T0}
    return Labelled(incident=incident, host="web-1", label=label, **(base | changes))


def rules_with(*records):
    rules = LabelRules()
    for record in records:
        rules.put(record)
    return rules


def test_only_never_suppresses():
    found = [rules_with(labelled(label)).suppresses("web-1", "cpu", Direction.HIGH) for label in Label]
    assert dict(zip(Label, found, strict=True)) == {label: label is Label.NEVER for label in Label}


@pytest.mark.parametrize(
    ("host", "metric", "direction"),
    [("web-2", "cpu", Direction.HIGH), ("web-1", "memory", Direction.HIGH), ("web-1", "cpu", Direction.LOW)],
)
def test_another_host_metric_or_direction_is_not_suppressed(host, metric, direction):
    assert not rules_with(labelled()).suppresses(host, metric, direction)


def test_a_label_that_is_taken_back_or_replaced_says_nothing_any_more():
    for after in (None, Label.REAL):
        rules = rules_with(labelled(), labelled(after))
        assert not rules.suppresses("web-1", "cpu", Direction.HIGH)


def test_one_of_two_labels_goes_on_when_the_other_is_taken_back():
    rules = rules_with(labelled(incident=1), labelled(incident=2), labelled(None, incident=1))
    assert rules.suppresses("web-1", "cpu", Direction.HIGH)


@pytest.mark.parametrize("changes", [{"kind": "silent"}, {"culprits": ()}])
def test_silence_and_incidents_without_a_culprit_say_nothing(changes):
    assert not rules_with(labelled(**changes)).suppresses("web-1", "cpu", Direction.HIGH)


@pytest.mark.parametrize("days", [0, 1, 5])
@pytest.mark.parametrize(("minutes", "is_expected"), [(0, 1), (30, 1), (-30, 1), (31, 0), (-31, 0), (720, 0)])
def test_it_expects_the_same_half_hours_of_every_day(minutes, is_expected, days):
    rules = rules_with(labelled(Label.EXPECTED))
    assert rules.expects("web-1", "cpu", Direction.HIGH, T0 + minutes * MINUTE + days * DAY_MS) == bool(is_expected)


def test_it_expects_it_as_long_as_it_lasted():
    rules = rules_with(labelled(Label.EXPECTED))
    later = T0 + DAY_MS + 140 * MINUTE
    assert not rules.expects("web-1", "cpu", Direction.HIGH, later)
    rules.ended(7, T0 + 120 * MINUTE)
    assert rules.expects("web-1", "cpu", Direction.HIGH, later)
    assert not rules.expects("web-1", "cpu", Direction.HIGH, later + 11 * MINUTE)


def test_a_time_of_day_goes_around_midnight():
    midnight = T0 - T0 % DAY_MS
    rules = rules_with(labelled(Label.EXPECTED, opened_at=midnight + 10 * MINUTE))
    assert rules.expects("web-1", "cpu", Direction.HIGH, midnight + 3 * DAY_MS - 15 * MINUTE)


def test_culprits_are_those_that_had_a_part_with_their_side():
    found = culprits(
        (
            Evidence("memory", 12.0, 40.0, 60.0, 0.6),
            Evidence("cpu", 90.0, 20.0, 30.0, 0.3),
            Evidence("disk", 50.0, 45.0, 55.0, 0.1),
        )
    )
    assert found == (Culprit("memory", Direction.LOW), Culprit("cpu", Direction.HIGH))


def test_a_limit_during_warm_up_is_high_and_a_missing_value_no_culprit():
    assert culprits((Evidence("cpu", 95.0, None, None, 1.0, limit=85.0),)) == (CPU_HIGH,)
    assert culprits((Evidence("cpu", None, 20.0, 30.0, 1.0),)) == ()
    assert culprits(()) == ()


def test_the_effect_says_where_and_when_it_applies():
    window = "CPU unusually high on web-1 is shown but told to nobody from"
    start = T0 - T0 % DAY_MS + 2 * 60 * MINUTE
    text = effect(labelled(Label.EXPECTED, opened_at=start, resolved_at=start + 60 * MINUTE))
    assert text.startswith(f"{window} 01:30 to 03:30 UTC, unless a limit is exceeded.")
    assert effect(labelled()) == "CPU unusually high on web-1 opens no incident any more, unless a limit is exceeded."
    assert "Silence is always told" in effect(labelled(kind="silent", culprits=()))
    assert "began again" in effect(labelled(Label.NEW_NORMAL, relearned=True))
    assert "over already" in effect(labelled(Label.NEW_NORMAL, resolved_at=T0))
