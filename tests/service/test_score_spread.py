import numpy as np

from monitor_core.service.score_spread import BINS, HOURS, ScoreSpread, VoteSpread
from tests.builders import T0

HOUR = 3_600_000


def total(spread):
    return sum(spread.view()["counts"])


def test_scores_fall_into_their_bins_and_one_is_in_the_last():
    spread = ScoreSpread()
    spread.add(np.array([T0] * 3), np.array([0.0, 0.5, 1.0]))
    counts = spread.view()["counts"]
    assert (counts[0], counts[BINS // 2], counts[-1], sum(counts)) == (1, 1, 1, 3)


def test_hours_that_are_long_over_are_left_out_in_any_order():
    spread = ScoreSpread()
    spread.add(np.array([T0, T0 + (HOURS + 1) * HOUR]), np.array([0.1, 0.2]))
    spread.add(np.array([T0 + 5]), np.array([0.3]))
    assert total(spread) == 1


def test_a_restart_goes_on_where_it_was():
    spread, again = ScoreSpread(), ScoreSpread()
    spread.add(np.array([T0] * 50), np.linspace(0, 1, 50))
    again.restore(spread.saved())
    again.restore(spread.saved())
    assert again.view() == spread.view()


def test_votes_are_counted_anew_when_another_version_speaks():
    spread = VoteSpread()
    spread.add(np.array([T0] * 3), np.array([0.1, 0.2, np.nan]), 1)
    assert (spread.counts(1, 0).sum(), spread.counts(2, 0).sum()) == (2, 0)
    spread.add(np.array([T0]), np.array([0.1]), 2)
    assert (spread.counts(1, 0).sum(), spread.counts(2, 0).sum()) == (0, 1)


def test_votes_of_the_last_hour_are_some_of_those_of_the_day_also_after_a_restart():
    spread, again = VoteSpread(), VoteSpread()
    spread.add(np.array([T0, T0 + 5 * HOUR]), np.array([0.1, 0.2]), 3)
    again.restore(spread.saved())
    assert again.counts(3, T0 + 4 * HOUR).sum() == 1
    assert again.counts(3, T0 - HOUR).sum() == 2
