import numpy as np
import pytest

from monitor_core.detection import drift
from monitor_core.detection.drift import BINS
from monitor_core.detection.features import FEATURES
from monitor_core.metrics import METRICS

HOUR = drift.EARLIEST_MS


def votes(quiet, loud=0):
    return drift.count(np.concatenate([np.zeros(quiet), np.full(loud, 0.9)]))


def test_the_index_of_a_hand_made_case():
    trained, now = np.array([50, 50]), np.array([75, 25])
    by_hand = (0.75 - 0.5) * np.log(0.75 / 0.5) + (0.25 - 0.5) * np.log(0.25 / 0.5)
    assert drift.stability_index(trained, now) == pytest.approx(by_hand, abs=1e-12)


def test_the_index_is_zero_for_the_same_shares_and_the_same_both_ways():
    a, b = np.array([10, 20, 70]), np.array([100, 200, 700])
    assert drift.stability_index(a, b) == 0
    assert drift.stability_index(a, np.array([40, 30, 30])) == pytest.approx(
        drift.stability_index(np.array([40, 30, 30]), a)
    )


def test_an_empty_bin_is_not_infinitely_far():
    assert 0 < drift.stability_index(np.array([100, 0]), np.array([50, 50])) < 10


def test_every_vote_is_counted_once_and_silence_not_at_all():
    counts = drift.count(np.array([0.0, 0.5, 1.0, np.nan]))
    assert (counts[0], counts[BINS // 2], counts[-1], counts.sum()) == (1, 1, 1, 3)


def test_the_same_samples_are_stable():
    found = drift.judge(votes(9_990, 10), votes(500), votes(9_990, 10), 0.75, HOUR)
    assert (found.verdict, found.index, found.trained_share, found.day_share) == ("stable", 0.0, 0.001, 0.001)
    assert (found.hour_share, found.samples) == (0.0, 10_000)


def test_other_samples_are_drifting():
    assert drift.judge(votes(9_990, 10), votes(0), votes(5_000, 5_000), 0.75, HOUR).verdict == "drifting: retrain"


def test_many_more_unusual_ones_are_drifting_though_the_index_is_small():
    found = drift.judge(votes(9_990, 10), votes(0), votes(9_800, 200), 0.75, HOUR)
    assert found.index < 0.1
    assert found.verdict == "drifting: retrain"


def test_before_an_hour_is_over_there_is_no_index():
    found = drift.judge(votes(100), votes(0), votes(9_000), 0.75, HOUR - 1)
    assert (found.index, found.verdict.split(":")[0]) == (None, "too early")


def test_too_few_samples_and_an_old_version_have_no_index():
    assert drift.judge(votes(100), votes(0), votes(drift.FEWEST - 1), 0.75, HOUR).index is None
    assert drift.judge(np.zeros(0, np.int64), votes(0), votes(9_000), 0.75, HOUR).verdict.startswith("unknown")
    assert drift.judge(votes(100), votes(0), votes(0), 0.75, HOUR).hour_share is None


def test_votes_near_the_baseline_are_silent_as_in_scoring():
    table = np.zeros((3, len(FEATURES)))
    table[:, 0] = [0.5, 1.5, -4.0]
    table[:, len(METRICS)] = 9.0  # a jump is no distance
    assert drift.voiced(np.full(3, 0.8), table).tolist() == [0.0, 0.6, 0.8]
