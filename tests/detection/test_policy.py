import numpy as np
import pytest

from monitor_core.detection.incident_policy import (
    ESCALATED,
    OPENED,
    RESOLVED,
    PolicyState,
    Rules,
    arrived,
    decide,
    find_silent,
    start_clock,
)
from monitor_core.incidents import Kind, Reason, Severity
from tests.builders import T0

RULES = Rules()
GAPS = np.array([3_000.0])


def play(scores, breaches=(), state=None, step=3_000, start=T0, rules=RULES):
    """Moves of one host: (number of the sample, move, reason)."""
    state = state or PolicyState()
    row = state.rows(["web-1"])
    moves = []
    for i, score in enumerate(scores):
        unusual, breach = np.array([score >= rules.alarm_score]), np.array([i in breaches])
        found, _ = decide(state, rules, row, np.array([start + i * step]), unusual, breach)
        moves += [(i, move.move, move.reason) for move in found]
    return moves


def test_a_breached_limit_opens_at_once():
    assert play([0.1, 0.9], {1}) == [(1, OPENED, Reason.LIMIT_EXCEEDED)]


def test_a_score_opens_after_three_of_five():
    assert play([0.8, 0.1, 0.8, 0.1, 0.8]) == [(4, OPENED, Reason.SCORE_PERSISTED)]


def test_two_of_five_open_nothing():
    assert play([0.8, 0.1, 0.1, 0.1, 0.8] * 10) == []


def test_one_that_goes_far_enough_opens_by_itself():
    state = PolicyState()
    row, yes, no = state.rows(["web-1"]), np.array([True]), np.array([False])
    assert decide(state, RULES, row, np.array([T0]), yes, no, no)[0] == []
    (move,), _ = decide(state, RULES, row, np.array([T0 + 3_000]), yes, no, yes)
    assert (move.move, move.reason) == (OPENED, Reason.SCORE_PERSISTED)


def test_it_opens_once_however_long_it_lasts():
    assert len(play([0.9] * 200, set(range(200)))) == 1


def test_a_score_that_becomes_a_breach_escalates():
    assert play([0.8] * 4, {3}) == [(2, OPENED, Reason.SCORE_PERSISTED), (3, ESCALATED, Reason.LIMIT_EXCEEDED)]


def test_it_resolves_after_a_minute_without_an_unusual_sample():
    moves = play([0.9] + [0.1] * 30, {0})
    assert moves[1] == (20, RESOLVED, Reason.BACK_TO_NORMAL)


def test_one_unusual_sample_starts_the_minute_again():
    moves = play([0.9] + [0.1] * 15 + [0.8] + [0.1] * 30, {0})
    assert moves[1][0] == 36


def test_no_samples_do_not_resolve_anything():
    state = PolicyState()
    play([0.9], {0}, state)
    assert play([0.1, 0.1], state=state, start=T0 + 3_600_000) == []
    assert play([0.1], state=state, start=T0 + 3_606_000) == [(0, RESOLVED, Reason.BACK_TO_NORMAL)]


def test_something_that_comes_and_goes_needs_longer_each_time():
    state = PolicyState()
    lengths, start = [], T0
    for _ in range(4):
        moves = play([0.9] + [0.1] * 300, {0}, state, start=start)
        lengths.append(moves[1][0] * 3)
        start += 301 * 3_000
    assert lengths == [60, 120, 240, 240]


def test_many_hosts_are_decided_at_once_and_apart():
    state = PolicyState()
    rows = state.rows([f"h{i}" for i in range(100)])
    score = np.where(np.arange(100) == 42, 0.9, 0.1)
    for i in range(3):
        moves, counted = decide(
            state, RULES, rows, np.full(100, T0 + i), score >= RULES.alarm_score, np.zeros(100, bool)
        )
    assert [move.row for move in moves] == [42]
    assert np.flatnonzero(counted).tolist() == [42]


def heard(n, at=T0):
    state = PolicyState()
    row = state.rows(["web-1"])
    for i in range(n):
        arrived(state, row, at + i * 3_000)
    return state, at + (n - 1) * 3_000


def test_a_host_is_silent_after_ten_of_its_own_gaps_and_told_once():
    state, last = heard(20)
    assert find_silent(state, RULES, GAPS, last + 30_000) == []
    (move,) = find_silent(state, RULES, GAPS, last + 30_001)
    assert (move.kind, move.move, move.reason) == (Kind.SILENT, OPENED, Reason.NO_SAMPLES)
    assert find_silent(state, RULES, GAPS, last + 99_000) == []


def test_silence_is_watched_only_after_twenty_samples():
    state, last = heard(19)
    assert find_silent(state, RULES, GAPS, last + 3_600_000) == []


def test_a_sample_ends_the_silence():
    state, last = heard(20)
    find_silent(state, RULES, GAPS, last + 60_000)
    (move,) = arrived(state, np.array([0]), last + 61_000)
    assert (move.move, move.reason, move.severity) == (RESOLVED, Reason.SAMPLES_RETURNED, Severity.CRITICAL)


def test_the_services_own_outage_blames_nobody():
    state, last = heard(20)
    start_clock(state, last + 3_600_000)
    assert find_silent(state, RULES, GAPS, last + 3_629_000) == []


def test_the_state_survives_a_snapshot():
    state = PolicyState()
    play([0.9, 0.8], {0}, state)
    other = PolicyState()
    other.load(state.to_bytes())
    assert play([0.1] * 30, state=other, start=T0 + 6_000) == play([0.1] * 30, state=state, start=T0 + 6_000)


def test_a_snapshot_of_another_shape_is_refused():
    with pytest.raises(ValueError, match="no usable column"):
        PolicyState().load(__import__("monitor_core.detection.host_state", fromlist=["x"]).HostState().to_bytes())
