from dataclasses import asdict, replace

import pytest

from monitor_core.detection import comparison
from monitor_core.detection.comparison import Flagged, KnownIncident, Promotion, Side

HOUR = 3_600_000


def flagged(*spans, host="a", peak=0.9):
    return [Flagged(host, start, stop, "cpu", peak) for start, stop in spans]


def compare(champion, challenger, labelled=(), hosts=2):
    return comparison.compare((0, 6 * HOUR), hosts, 100, (1, champion), (2, challenger), labelled)


def counts(champion, challenger, real=(0, 0)):
    """A comparison of which only these numbers matter."""
    found = compare([], [])
    sides = [Side(i + 1, n, 0.0, {"real": real[i]}) for i, n in enumerate((champion, challenger))]
    return replace(found, champion=sides[0], challenger=sides[1])


def test_incidents_that_overlap_are_the_same_whoever_opened_them():
    found = compare(flagged((0, 10), (100, 110)), flagged((10, 20), (200, 210)))
    assert [item.start for item in found.more] == [200]
    assert [item.start for item in found.less] == [100]
    assert (found.more_total, found.less_total) == (1, 1)


def test_an_incident_of_another_host_is_another_one():
    found = compare(flagged((0, 10)), flagged((0, 10), host="b"))
    assert (found.more_total, found.less_total) == (1, 1)


def test_opened_is_told_per_host_and_day():
    found = compare(flagged((0, 10), (100, 110)), [])
    assert (found.champion.opened, found.champion.per_host_day) == (2, 4.0)  # two hosts, a quarter of a day
    assert (found.challenger.opened, found.challenger.per_host_day) == (0, 0.0)


def test_twenty_are_named_the_highest_peaks_first():
    many = [Flagged("a", i * 100, i * 100 + 10, "cpu", i / 100) for i in range(30)]
    found = compare([], many)
    assert (len(found.more), found.more_total) == (20, 30)
    assert [item.peak_score for item in found.more[:2]] == [0.29, 0.28]


def test_found_is_counted_per_label_for_each_version():
    labelled = [
        KnownIncident("a", 5, 50, "real"),
        KnownIncident("a", 300, 310, "real"),
        KnownIncident("b", 0, 9, "expected"),
    ]
    found = compare(flagged((0, 10)), flagged((40, 45), (305, 306)), labelled)
    assert found.labelled == {"real": 2, "expected": 1}
    assert (found.champion.found, found.challenger.found) == ({"real": 1}, {"real": 2})


@pytest.mark.parametrize(
    ("champion", "challenger", "real", "promotion"),
    [
        (0, 0, (0, 0), Promotion.NO_WORSE),
        (0, 1, (0, 0), Promotion.NO_WORSE),
        (0, 2, (0, 0), Promotion.OPENS_MORE),
        (2, 9, (0, 0), Promotion.OPENS_MORE),
        (5, 6, (0, 0), Promotion.NO_WORSE),
        (10, 12, (0, 0), Promotion.NO_WORSE),
        (10, 13, (0, 0), Promotion.OPENS_MORE),
        (10, 0, (3, 3), Promotion.NO_WORSE),
        (10, 0, (3, 2), Promotion.FINDS_FEWER),
        (2, 9, (3, 2), Promotion.FINDS_FEWER),
        (2, 9, (2, 3), Promotion.OPENS_MORE),
    ],
)
def test_it_takes_over_when_it_finds_no_fewer_and_opens_few_more(champion, challenger, real, promotion):
    found = counts(champion, challenger, real)
    assert comparison.decide(found, is_first=False, ask=False) is promotion
    asked = promotion if promotion is not Promotion.NO_WORSE else Promotion.ASKED
    assert comparison.decide(found, is_first=False, ask=True) is asked


def test_the_first_one_speaks_and_one_that_could_not_be_compared_waits():
    assert comparison.decide(None, is_first=True, ask=True) is Promotion.FIRST
    assert comparison.decide(None, is_first=False, ask=False) is Promotion.NOT_COMPARED
    assert [item for item in Promotion if item.speaks] == [Promotion.FIRST, Promotion.NO_WORSE]


@pytest.mark.parametrize(
    ("found", "promotion", "words"),
    [
        (counts(2, 9), Promotion.OPENS_MORE, "kept: would open 9 incidents instead of 2"),
        (counts(2, 1), Promotion.NO_WORSE, "promoted: would open 1 incident instead of 2"),
        (counts(2, 1), Promotion.ASKED, "waits for you: would open 1 incident instead of 2"),
        (counts(2, 1, (3, 1)), Promotion.FINDS_FEWER, "kept: finds 1 of the real incidents instead of 3"),
        (counts(2, 2), Promotion.NO_WORSE, "promoted: would open 2 incidents, as many as now"),
        (None, Promotion.NOT_COMPARED, "kept: it could not be compared"),
        (None, Promotion.FIRST, "first version"),
    ],
)
def test_why_is_a_sentence(found, promotion, words):
    assert comparison.sentence(promotion, found) == words


def effect(without, taught, known=(), labels=3, samples=(120, 30)):
    return comparison.label_effect(labels, samples, without, taught, known)


def quiet(item):
    return replace(item, told=False)


REAL = [KnownIncident("a", 5, 50, "real"), KnownIncident("a", 300, 310, "real")]


def test_an_alert_that_only_opens_quietly_with_the_labels_is_one_fewer():
    alerts = flagged((0, 10), (100, 110), (200, 210))
    found = effect(alerts, [alerts[0], quiet(alerts[1])])
    assert [item.start for item in found.quieter] == [100, 200]
    assert (found.alerts_without, found.alerts_with, found.quieter_total, found.louder_total) == (3, 1, 2, 0)
    assert effect([quiet(alerts[0])], []).quieter_total == 0, "nobody was told of it anyway"


def test_what_labels_let_through_is_counted_too():
    found = effect([], flagged((0, 10)))
    assert (found.louder_total, found.quieter_total) == (1, 0)


@pytest.mark.parametrize(
    ("without", "taught", "known", "words"),
    [
        ([(0, 10), (100, 110)], [(0, 10)], (), "With your 3 labels: 1 fewer alert in these 6 h."),
        (
            [(0, 10), (100, 110), (300, 305), (500, 510)],
            [(0, 10), (300, 305)],
            REAL,
            "With your 3 labels: 2 fewer alerts in these 6 h; both that you marked as real are still found.",
        ),
        ([(0, 10)], [(0, 10)], REAL[:1], "; the one that you marked as real is still found."),
        ([(0, 10)], [(0, 10), (90, 95)], (), "With your 3 labels: 1 more alert in these 6 h."),
        ([(0, 10), (300, 305)], [(0, 10)], REAL, "; but only 1 of 2 that you marked as real would be told, without"),
        ([(0, 10)], [(0, 10)], REAL, "the same alerts in these 6 h; 1 of 2 that you marked as real would be told"),
    ],
)
def test_what_labels_change_is_a_sentence(without, taught, known, words):
    found = replace(compare([], []), labels=effect(flagged(*without), flagged(*taught), known))
    assert words in comparison.label_sentence(found)


def test_without_labels_there_is_nothing_to_say():
    assert comparison.label_sentence(compare([], [])) is None


def test_it_comes_back_from_json_as_it_was():
    found = compare(flagged((0, 10)), [], [KnownIncident("a", 5, 50, "real")])
    assert comparison.comparison_from(asdict(found)) == found
    before = {key: value for key, value in asdict(found).items() if key != "labels"}
    assert comparison.comparison_from(before) == found
    found = replace(found, labels=effect(flagged((0, 10)), [], REAL))
    assert comparison.comparison_from(asdict(found)) == found
    with pytest.raises(ValueError, match="missing"):
        comparison.comparison_from({"start": 1})
