"""Incident policy: scores over time → incidents open, worsen, resolve. Pure: time comes with the samples or as `now`.

A breached limit opens at once. Others open after `alarm_samples` of the last `alarm_window` samples were unusual, after
fewer that go farther, or after one that stands for half a minute. What is unusual says the alert budget, or the slow
channel.

It resolves after a recovery window without an unusual sample, counted on samples that arrived: no data is not
"normal". The window doubles with each incident of the host that ended within the last half hour, so that something
that comes and goes is one long episode instead of twenty short ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from monitor_core.frame import BoolArray, FloatArray, IntArray
from monitor_core.host_arrays import NEVER, HostArrays
from monitor_core.incidents import Kind, Reason, Severity

RECENT_INCIDENTS = 3
RECENT_MS = 30 * 60_000
NORMAL_SAMPLES = 3
WATCHED_AFTER = 20
LASTS_MS = 30_000


@dataclass(frozen=True, slots=True)
class Rules:
    """What an analyst may turn. Times in ms."""

    alarm_score: float = 0.75
    alarm_samples: int = 3
    alarm_window: int = 5
    recovery_ms: int = 60_000
    silence_factor: float = 10.0
    silence_minimum_ms: int = 10_000


class Transition(NamedTuple):
    """One incident's move: `row` is the host's, `sample` the place in the arrays handed in (-1: no sample)."""

    row: int
    sample: int
    kind: Kind
    move: str
    reason: Reason
    severity: Severity


OPENED, ESCALATED, RESOLVED = "opened", "escalated", "resolved"


class PolicyState(HostArrays):
    """What the policy remembers of every host."""

    COLUMNS: ClassVar = {
        "flags": ((), np.uint32, 0),
        "normal_run": ((), np.int64, 0),
        "last_abnormal": ((), np.int64, NEVER),
        "last_time": ((), np.int64, NEVER),
        "is_open": ((), np.bool_, False),
        "is_critical": ((), np.bool_, False),
        "ended": ((RECENT_INCIDENTS,), np.int64, NEVER),
        "is_silent": ((), np.bool_, False),
        "live_samples": ((), np.int64, 0),
        "arrived_at": ((), np.int64, NEVER),
    }
    flags: npt.NDArray[np.uint32]
    normal_run: IntArray
    last_abnormal: IntArray
    last_time: IntArray
    is_open: BoolArray
    is_critical: BoolArray
    ended: IntArray
    is_silent: BoolArray
    live_samples: IntArray
    arrived_at: IntArray


def decide(
    state: PolicyState,
    rules: Rules,
    rows: IntArray,
    time: IntArray,
    unusual: BoolArray,
    breach: BoolArray,
    lasts: BoolArray | None = None,
) -> tuple[list[Transition], BoolArray]:
    """One newer sample for each of `rows` (no row twice); `unusual` [n]; `breach` [n]: some limit is exceeded; `lasts`
    [n]: unusual for as long as its distance asks for.

    Returns the moves and a mask of the samples that counted toward an incident.
    """
    unusual = unusual | breach
    enough = (state.last_time[rows] > NEVER) & (time - state.last_time[rows] >= LASTS_MS)
    if lasts is not None:
        enough |= lasts
    window = np.uint32((1 << rules.alarm_window) - 1)
    state.flags[rows] = ((state.flags[rows] << np.uint32(1)) | unusual) & window
    state.last_time[rows] = time
    state.normal_run[rows] = np.where(unusual, 0, state.normal_run[rows] + 1)
    state.last_abnormal[rows] = np.where(unusual, time, state.last_abnormal[rows])
    was_open = state.is_open[rows]
    persisted = np.bitwise_count(state.flags[rows]) >= rules.alarm_samples
    opens = ~was_open & unusual & (breach | persisted | enough)
    escalates = was_open & breach & ~state.is_critical[rows]
    quiet_for = time - state.last_abnormal[rows]
    recovered = (quiet_for >= _recovery_ms(state, rules, rows)) & (state.normal_run[rows] >= NORMAL_SAMPLES)
    resolves = was_open & recovered
    _remember(state, rows, time, opens, escalates, breach, resolves)
    return _transitions(rows, opens, escalates, resolves, breach), unusual & (was_open | opens)


def begins(state: PolicyState, rows: IntArray, time: IntArray) -> BoolArray:
    """[n] after `decide`: is this sample unusual, with none in the window before it? It begins a run."""
    return (state.last_abnormal[rows] == time) & (np.bitwise_count(state.flags[rows]) == 1)


def _recovery_ms(state: PolicyState, rules: Rules, rows: IntArray) -> IntArray:
    recent = (state.last_abnormal[rows][:, None] - state.ended[rows] <= RECENT_MS).sum(axis=1)
    return rules.recovery_ms << recent


def _remember(
    state: PolicyState,
    rows: IntArray,
    time: IntArray,
    opens: BoolArray,
    escalates: BoolArray,
    breach: BoolArray,
    resolves: BoolArray,
) -> None:
    state.is_open[rows] = (state.is_open[rows] | opens) & ~resolves
    state.is_critical[rows] = ((state.is_critical[rows] & ~opens) | (opens & breach) | escalates) & ~resolves
    over = rows[resolves]
    state.flags[over] = 0
    state.ended[over] = np.concatenate([state.ended[over, 1:], time[resolves][:, None]], axis=1)


def _transitions(
    rows: IntArray, opens: BoolArray, escalates: BoolArray, resolves: BoolArray, breach: BoolArray
) -> list[Transition]:
    moves = []
    for i in np.flatnonzero(opens | escalates | resolves).tolist():
        row = int(rows[i])
        if resolves[i]:
            moves.append(Transition(row, i, Kind.ABNORMAL, RESOLVED, Reason.BACK_TO_NORMAL, Severity.WARNING))
        elif breach[i]:
            move = OPENED if opens[i] else ESCALATED
            moves.append(Transition(row, i, Kind.ABNORMAL, move, Reason.LIMIT_EXCEEDED, Severity.CRITICAL))
        else:
            moves.append(Transition(row, i, Kind.ABNORMAL, OPENED, Reason.SCORE_PERSISTED, Severity.WARNING))
    return moves


def withdraw(state: PolicyState, row: int) -> None:
    """What `decide` opened just now is not an incident after all; whatever comes next is judged anew."""
    state.is_open[row] = False


def arrived(state: PolicyState, rows: IntArray, at: int) -> list[Transition]:
    """Live samples of these hosts arrived: they are heard of again."""
    state.arrived_at[rows] = at
    np.add.at(state.live_samples, rows, 1)
    back = np.unique(rows[state.is_silent[rows]])
    state.is_silent[back] = False
    return [
        Transition(int(row), -1, Kind.SILENT, RESOLVED, Reason.SAMPLES_RETURNED, Severity.CRITICAL)
        for row in back.tolist()
    ]


def silence_after_ms(rules: Rules, gap_ms: FloatArray) -> FloatArray:
    """[n] how long a host may say nothing, given its own median gap (NaN: not known yet, so never)."""
    return np.where(np.isnan(gap_ms), np.inf, np.maximum(rules.silence_factor * gap_ms, rules.silence_minimum_ms))


def find_silent(state: PolicyState, rules: Rules, gap_ms: FloatArray, now: int) -> list[Transition]:
    """Hosts (rows 0..len(gap_ms)) that have been quiet for too long by `now`; each is reported once."""
    n = len(gap_ms)
    watched = state.live_samples[:n] >= WATCHED_AFTER
    silent = watched & ~state.is_silent[:n] & (now - state.arrived_at[:n] > silence_after_ms(rules, gap_ms))
    state.is_silent[:n] |= silent
    return [
        Transition(int(row), -1, Kind.SILENT, OPENED, Reason.NO_SAMPLES, Severity.CRITICAL)
        for row in np.flatnonzero(silent).tolist()
    ]


def start_clock(state: PolicyState, now: int) -> None:
    """The service was away itself: silence is counted from now, or its own outage would blame every host."""
    state.arrived_at[: len(state.names)] = now
