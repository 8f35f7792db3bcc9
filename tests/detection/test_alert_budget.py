"""The budget: how many alerts each threshold would have sent, and which one keeps the promise."""

import numpy as np
import pytest

from monitor_core.detection import alert_budget
from monitor_core.detection.alert_budget import STALE, STALE_FROM, STEP, THRESHOLDS, Budget, BudgetState, Sample
from tests.builders import T0

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
DAILY = Budget(alerts_per_day=1.0)


def watch_all(state, distances, start=T0, budget=DAILY, outside=(), limited=True, step=MINUTE):
    """One host, a sample a minute."""
    row = state.rows(["a"])
    for i, distance in enumerate(distances):
        flags = np.array([i in outside]), np.array([limited])
        sample = Sample(row, np.array([start + i * step]), np.array([float(distance)]), *flags)
        yield alert_budget.watch(state, budget, sample)


def play(*given, **more):
    """[n] over the threshold?"""
    return np.array([bool(watched.over[0]) for watched in watch_all(*given, **more)])


def bursts(days, a_day, height, seed=0):
    """A quiet host with bursts of ten minutes; each a little different."""
    rng = np.random.default_rng(seed)
    distance = np.abs(rng.normal(0, 0.5, days * 1_440))
    for day in range(days):
        for k in range(a_day):
            at = day * 1_440 + (k * 1_440) // a_day + int(rng.integers(0, 60))
            distance[at : at + 10] = height + rng.normal(0, 0.5)
    return distance


def episodes(over):
    """How often it begins, ten quiet minutes apart."""
    places = np.flatnonzero(over)
    return int((np.diff(places, prepend=-100) > 10).sum())


def test_until_the_host_is_known_the_default_holds():
    state = BudgetState()
    over = play(state, [3.9, 4.0, 4.1])
    assert over.tolist() == [False, True, True]
    assert np.isnan(state.threshold[0])


def test_a_host_that_bursts_eight_times_a_day_is_told_about_once_a_day_and_twice_when_they_go_far():
    table = np.stack([bursts(20, 8, height, seed) for seed, height in enumerate((4.0, 4.0, 9.0, 9.0))])
    state, over = BudgetState(), np.zeros(table.shape, dtype=bool)
    rows, none, all_of_them = state.rows(list("abcd")), np.zeros(4, dtype=bool), np.ones(4, dtype=bool)
    for i in range(table.shape[1]):
        sample = Sample(rows, np.full(4, T0 + i * MINUTE), table[:, i], none, all_of_them)
        over[:, i] = alert_budget.watch(state, DAILY, sample).over
    told = np.array([[episodes(host[day * 1_440 : (day + 1) * 1_440]) for day in range(7, 20)] for host in over])
    assert (state.threshold[:4] > table.max(axis=1) - 2.0).all()
    assert np.mean(told[:2]) <= 1.2 < np.mean(told[2:]) <= 2.5


def test_the_farther_an_alert_goes_the_less_it_counts_and_two_fifths_at_the_least():
    counts = []
    for height in (3.0, 4.5, 6.75, 9.0, 14.0, 40.0):
        state = BudgetState()
        play(state, [0.0] * 5 + [height] * 3 + [0.0] * 20)
        assert state.sent.max() == 1
        found = alert_budget.spent(state, Budget(distance=2.0), 0, 7)
        assert found.alerts == 1
        counts.append(found.counted)
    # after a quiet hour an alert is some .2 scales more news than it is high
    assert counts == pytest.approx([1.0, 1.0, 0.74, 0.44, 0.40, 0.40], abs=0.011)


def test_an_alert_that_goes_farther_counts_as_what_it_turned_out_to_be():
    at_once, slowly = BudgetState(), BudgetState()
    play(at_once, [0.0] * 5 + [14.0] * 9, step=3_000)
    play(slowly, [0.0] * 5 + [4.0, 5.0, 6.0, 7.0, 9.0, 12.0, 14.0, 14.0, 14.0], step=3_000)
    level = np.searchsorted(THRESHOLDS, 3.0)
    assert at_once.let_off[0].max(axis=0)[level] == slowly.let_off[0].max(axis=0)[level] == 60
    step_by_step = BudgetState()
    play(step_by_step, [0.0] * 5 + [5.0, 7.0, 9.0, 12.0, 14.0])
    assert step_by_step.sent[0].max(axis=0)[level] == 3  # told again on the way up, but not beyond what is far
    assert step_by_step.let_off[0].max(axis=0)[level] == 60


def test_no_day_is_let_off_more_than_two_alerts():
    state = BudgetState()
    play(state, bursts(1, 20, 20.0))
    assert state.sent.max() > 10
    assert state.let_off.max() == 200


def test_where_much_really_happens_more_is_told():
    near, far = BudgetState(), BudgetState()
    often = bursts(9, 3, 4.5)
    play(near, np.maximum(often, bursts(9, 2, 7.0, 1)))
    play(far, np.maximum(often, bursts(9, 2, 14.0, 1)))
    assert far.threshold[0] < near.threshold[0] - 1


def test_a_quiet_host_hears_of_smaller_things_when_its_budget_allows():
    state = BudgetState()
    play(state, bursts(10, 0, 0.0))
    row = np.array([0])
    yes = np.array([True])
    assert alert_budget.thresholds(state, DAILY, row, yes)[0] == pytest.approx(DAILY.lowest)
    weekly = Budget()
    assert alert_budget.thresholds(state, weekly, row, yes)[0] == pytest.approx(4.0)


def test_the_worst_burst_still_gets_through():
    state = BudgetState()
    play(state, bursts(10, 8, 8.0))
    over = play(state, [0.1] * 100 + [14.0] * 5, start=T0 + 10 * DAY)
    assert over[100:].any()


def test_what_limits_and_the_slow_channel_open_costs_nothing():
    spent, free = BudgetState(), BudgetState()
    distance = bursts(8, 6, 9.0)
    play(spent, distance)
    play(free, distance, outside=set(np.flatnonzero(distance > 6).tolist()))
    assert free.sent[0][:, THRESHOLDS > 6].sum() == 0
    assert free.threshold[0] < spent.threshold[0]


def test_an_alert_that_turns_into_a_breach_is_taken_back():
    state = BudgetState()
    play(state, [0.0] * 5 + [9.0] * 10, outside=range(9, 15))
    assert state.sent.sum() == state.let_off.sum() == 0


def test_no_alert_is_taken_back_twice():
    state = BudgetState()
    distance = [0.0] * 5 + [9.0] * 3 + [0.0] * 20 + [9.0] * 3 + [0.0] * 2 + [9.0] * 4
    play(state, distance[:28])
    assert state.sent.max() == 1
    play(state, distance[28:], start=T0 + 28 * MINUTE, outside={3, 6})
    assert state.sent[0].max(axis=0)[np.searchsorted(THRESHOLDS, 8.0)] == 1


def test_one_rise_is_one_alert_however_many_samples_it_takes():
    state = BudgetState()
    play(state, [0, 0, 2, 4, 6, 8, 10, 10, 10, 10], step=3_000)
    assert state.sent.max() == 1


def test_while_a_host_is_new_its_alerts_count_less():
    new, known = BudgetState(), BudgetState()
    play(new, [0.0] * 60 + [9.0] * 10 + [0.0] * 200)
    play(known, [0.0] * 8 * 1_440 + [9.0] * 10 + [0.0] * 200)
    row, level = 0, np.searchsorted(THRESHOLDS, 8.0)
    assert new.sent[0, :, level].sum() == known.sent[0, :, level].sum() == 1
    quarter, whole = (alert_budget.rates(state, Budget(), row)[level] for state in (new, known))
    assert quarter * 7 == pytest.approx(0.25, abs=0.05)
    assert whole * (7 + 4 + 1.2) == pytest.approx(1.0, abs=0.1)  # the first week counts as four days


def test_what_a_host_did_when_it_was_new_counts_less_two_weeks_later():
    state = BudgetState()
    play(state, [*bursts(2, 4, 12.0), *[0.0] * 12 * 1_440])
    rate = alert_budget.rates(state, DAILY, 0)[np.searchsorted(THRESHOLDS, 10.0)]
    assert 0.1 < rate < 0.25  # eight alerts in fourteen days


def test_an_incident_marked_as_real_no_longer_counts_and_counts_again_when_taken_back():
    state = BudgetState()
    play(state, [0.0] * 5 + [9.0] * 10 + [0.0] * 10)
    before = state.sent.copy()
    assert before[0].max(axis=0).sum() == before.sum() >= (THRESHOLDS < 9).sum()
    let_off = state.let_off.copy()
    alert_budget.forgive(state, 0, T0 + 5 * MINUTE, 9.0)
    assert state.sent.sum() == state.let_off.sum() == 0
    alert_budget.forgive(state, 0, T0 + 5 * MINUTE, 9.0, -1)
    same = (state.sent == before)[..., : alert_budget.NEAR]
    assert np.abs(state.let_off.astype(int) - let_off)[same].max() <= 5
    assert (state.sent != before).sum() <= 3  # an incident knows its score, not how much news it was


def test_labels_are_worth_something():
    deaf, taught = BudgetState(), BudgetState()
    distance = bursts(12, 3, 8.0)
    play(deaf, distance)
    for day in range(12):
        part = distance[day * 1_440 : (day + 1) * 1_440]
        play(taught, part, start=T0 + day * DAY)
        for at in np.flatnonzero(np.diff((part > 6).astype(int)) == 1):
            alert_budget.forgive(taught, 0, T0 + day * DAY + int(at) * MINUTE, 20.0)
    assert taught.threshold[0] < deaf.threshold[0] - 1


def test_old_days_are_forgotten():
    state = BudgetState()
    play(state, bursts(3, 8, 9.0))
    busy = state.threshold[0]
    play(state, bursts(25, 0, 0.0), start=T0 + 3 * DAY)
    assert state.threshold[0] < busy - 3


def test_hosts_without_a_budget_keep_the_default_and_are_not_counted():
    state = BudgetState()
    over = play(state, bursts(3, 8, 9.0), limited=False)
    assert episodes(over) == 24
    assert state.sent.sum() == 0


@pytest.mark.parametrize(
    ("distance", "reached"), [([9, 0, 9, 0, 9], 9.0), ([0, 9, 9, 0, 0], 8.0), ([0, 0, 9, 0, 0], 7.0)]
)
def test_fewer_fast_samples_are_an_alert_when_they_go_farther(distance, reached):
    state = BudgetState()
    play(state, [*distance, 0, 0], step=3_000)
    assert state.sent.max() == 1
    assert THRESHOLDS[state.sent[0].max(axis=0) > 0].max() == pytest.approx(
        reached - STALE * STALE_FROM, abs=1.5 * STEP
    )
    lasts = [watched.lasts[0] for watched in watch_all(BudgetState(), [*distance, 0], step=3_000)]
    assert any(lasts)
    weak = [5.5 if d else 0 for d in distance]
    lasts = [watched.lasts[0] for watched in watch_all(BudgetState(), [*weak, 0], step=3_000)]
    assert any(lasts) == (reached > 7.0)


def test_a_snapshot_goes_on_as_if_nothing_had_happened():
    distance = bursts(4, 5, 7.0)
    straight, first = BudgetState(), BudgetState()
    play(straight, distance)
    play(first, distance[:3_001])
    restored = BudgetState()
    restored.load(first.to_bytes())
    play(restored, distance[3_001:], start=T0 + 3_001 * MINUTE)
    assert restored.to_bytes() == straight.to_bytes()


def test_many_hosts_are_watched_at_once_and_apart():
    together = BudgetState()
    rows = together.rows(["a", "b", "c"])
    table = np.stack([bursts(2, 4, 7.0), bursts(2, 0, 0.0), bursts(2, 9, 9.0, seed=5)])
    yes, no = np.ones(3, dtype=bool), np.zeros(3, dtype=bool)
    for i in range(table.shape[1]):
        alert_budget.watch(together, DAILY, Sample(rows, np.full(3, T0 + i * MINUTE), table[:, i], no, yes))
    for k in range(3):
        alone = BudgetState()
        play(alone, table[k])
        assert np.array_equal(alone.sent[0], together.sent[k])


def test_the_trade_off_falls_with_the_threshold():
    state = BudgetState()
    play(state, bursts(6, 4, 7.0))
    rates = alert_budget.rates(state, DAILY, 0)
    assert rates[np.searchsorted(THRESHOLDS, 6.0)] > 2.5
    assert rates[-1] < 0.01
    assert alert_budget.spent(state, DAILY, 0, 7).alerts <= 12


@pytest.mark.parametrize("limited", [True, False])
def test_what_would_count_is_what_counts(limited):
    """Also before the host is known, when the sample moves the threshold, and after a restless hour."""
    state, flags, bars = BudgetState(), np.array([limited]), []
    row = state.rows(["a"])
    distances = bursts(3, 40, 5.0, seed=3)
    for i, distance in enumerate(distances):
        time = np.array([T0 + i * MINUTE])
        bar = alert_budget.unusual_from(state, DAILY, row, time, flags)[0]
        over = alert_budget.watch(state, DAILY, Sample(row, time, np.array([distance]), np.array([False]), flags))[0]
        bars.append(bar)
        if abs(distance - bar) > 1e-9:
            assert over == (distance > bar)
    assert len(set(np.round(bars, 2))) > 20 if limited else set(bars) == {DAILY.distance}


def test_a_quiet_hour_asks_for_less_and_a_restless_one_for_more():
    state = BudgetState()
    play(state, bursts(3, 0, 0.0))
    row, yes, end = np.array([0]), np.array([True]), T0 + 3 * DAY
    own = alert_budget.thresholds(state, DAILY, row, yes)[0]
    assert own - 0.5 < alert_budget.unusual_from(state, DAILY, row, np.array([end]), yes)[0] < own
    play(state, [12.0] * 10, start=end)
    assert alert_budget.unusual_from(state, DAILY, row, np.array([end + 11 * MINUTE]), yes)[0] > own + 0.9
