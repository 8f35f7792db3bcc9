"""Alert budget: at most so many alerts a host and day, kept by a rule that counts what it would have sent (pure).

Beside the threshold in use, 161 others run silently over the same distances, and each counts the alerts that it would
have opened in the last three weeks. Every three hours the lowest threshold is taken that stays, with all above it,
within the budget. Read from the top down, because a very low threshold melts into one endless incident and looks quiet.
Thresholds that nothing ever reached have a rate too: a weak exponential prior, as if a few days had been seen before.

The budget is meant for false alarms, and how far an alert goes says how likely it is one: on labelled servers hardly
any below five scales was true, and nearly all above nine were. So the farther an alert goes the less it counts, two
fifths at the least, and a host where much really happens goes on being told.

Alerts about limits, silence and the slow channel are outside the budget, and so is one that somebody marked as real.
A host's first days count less, the first one a quarter, all from a week on, and so do their alerts, for as long as they
are remembered: who tries it out wants to hear it, and there the fast detectors are louder than they ever will be again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from monitor_core.frame import BoolArray, FloatArray, IntArray
from monitor_core.host_arrays import NEVER, HostArrays

LOWEST, STEP, LEVELS = 1.0, 0.16, 161
THRESHOLDS = LOWEST + STEP * np.arange(LEVELS)
DAYS = 21
DAY_MS, HOUR_MS = 86_400_000, 3_600_000
KNOWS_AFTER_MS = DECIDES_EACH_MS = 3 * HOUR_MS
WORSE = 0.8  # scales beyond what was told: worth a word again, but not while it is still on its way up
RISES_MS = 60_000
AGAIN_MS = DAY_MS
APART_SAMPLES, APART_MS = 10, 60_000
LASTS_MS, TURNS_OUT_MS = 30_000, 900_000
FARTHER = 1.0  # scales that make up for each sample that is missing
# Staying high is less news than rising: a tenth of the last hour's height above what comes once a day is taken off.
DAILY, STALE, STALE_FROM = 2.32, 0.1, -4.8
STRETCHES, STRETCH_MS = 12, 300_000
# The prior: how the rate falls with the threshold, below and beyond what comes once a day; it weighs 1/budget days.
FALLS_BELOW, FALLS_BEYOND = 1.6, 0.864
PRIOR = np.exp(-(THRESHOLDS - DAILY) / np.where(THRESHOLDS < DAILY, FALLS_BELOW, FALLS_BEYOND))
LONGEST_WINDOW = 32
# Up to five scales an alert counts whole, then up to so many hundredths less; no day is let off more than two alerts.
FAR_FROM, FAR, LET_OFF, HUNDREDTHS = 5.0, 9.5, 60, 100
MOST_SENT, MOST_LET_OFF = 255, 200
NEAR = int(
    np.searchsorted(THRESHOLDS, FAR)
)  # levels; on the others each alert has gone far, so their number says it all
NEW_DAYS, KNOWN_DAYS, COUNTS_WHEN_NEW = 1.0, 7.0, 0.25


@dataclass(frozen=True, slots=True)
class Budget:
    """`alerts_per_day` of a host (inf: no budget). A sample counts from `distance` scales on until the rule knows more;
    at the default budget never below it. `samples` of the last `window` must count."""

    alerts_per_day: float = 1 / 7
    distance: float = 4.0
    samples: int = 3
    window: int = 5

    @property
    def tolerated(self) -> float:
        """Counted alerts per day that keep the promise: a rare one is counted late."""
        return (0.95 + 0.1 * max(-math.log(self.alerts_per_day), 0.0)) * self.alerts_per_day

    @property
    def lowest(self) -> float:
        """What comes so often on a usual host; who allows more alerts hears of smaller things."""
        return max(self.distance - FALLS_BEYOND * math.log(7 * self.alerts_per_day), LOWEST)


class BudgetState(HostArrays):
    """What the rule remembers of every host. Level arrays are about `THRESHOLDS`.

    `above_at` [levels] last sample at or above each, ms UTC; `told` the distance at the last alert, `told_at` when;
    `sent` [days, levels] alerts that it would have sent on day `day`, `let_off` [days, NEAR] how much less they count
    because they went far, hundredths of an alert; `highest` of an hour's distances by `stretch` of
    5 min; `lately` the last distances, `seen` how many; `threshold` in scales (NaN: not known yet), `decided_at`;
    `began` the first sample, `last_time` the newest; `outside`: a limit or the slow channel speaks.
    """

    COLUMNS: ClassVar = {
        "above_at": ((LEVELS,), np.int64, NEVER),
        "told": ((LEVELS,), np.float32, -np.inf),
        "told_at": ((LEVELS,), np.int64, NEVER),
        "sent": ((DAYS, LEVELS), np.uint8, 0),
        "let_off": ((DAYS, NEAR), np.uint8, 0),
        "day": ((DAYS,), np.int32, -1),
        "highest": ((STRETCHES,), np.float32, -np.inf),
        "stretch": ((STRETCHES,), np.int32, -1),
        "lately": ((LONGEST_WINDOW,), np.float32, -np.inf),
        "seen": ((), np.int64, 0),
        "threshold": ((), np.float64, np.nan),
        "decided_at": ((), np.int64, NEVER),
        "began": ((), np.int64, NEVER),
        "last_time": ((), np.int64, NEVER),
        "outside": ((), np.bool_, False),
    }
    above_at: IntArray
    told: npt.NDArray[np.float32]
    told_at: IntArray
    sent: npt.NDArray[np.uint8]
    let_off: npt.NDArray[np.uint8]
    day: npt.NDArray[np.int32]
    highest: npt.NDArray[np.float32]
    stretch: npt.NDArray[np.int32]
    lately: npt.NDArray[np.float32]
    seen: IntArray
    threshold: FloatArray
    decided_at: IntArray
    began: IntArray
    last_time: IntArray
    outside: BoolArray


class Sample(NamedTuple):
    """One newer sample for each of `rows` [n]: `time` ms UTC, `distance` in scales; `outside`: a limit or the slow
    channel speaks, so that whatever opens now is none of the budget's business; `limited`: the host has a budget."""

    rows: IntArray
    time: IntArray
    distance: FloatArray
    outside: BoolArray
    limited: BoolArray


class Spent(NamedTuple):
    """`alerts` sent, and how many they count as: less, when they went far."""

    alerts: int
    counted: float


class Watched(NamedTuple):
    """[n] `over`: the sample's distance is over its host's threshold; `lasts`: and that long enough to be told;
    `unusual_from`: what the function of this name said before the sample was seen, which may move its threshold."""

    over: BoolArray
    lasts: BoolArray
    unusual_from: FloatArray


def watch(state: BudgetState, budget: Budget, sample: Sample) -> Watched:
    """Hold each sample against its host's threshold; all thresholds see it and count."""
    rows, time, distance = sample.rows, sample.time, sample.distance
    known = state.began[rows] > NEVER
    state.began[rows] = np.where(known, state.began[rows], time)
    gap = np.where(known, time - state.last_time[rows], 0)
    state.last_time[rows] = time
    stale = _stale(state, rows, time)
    news = distance - stale
    _remember(state, rows, time, distance)
    lasting = _lasting(state, budget, rows, news, gap)
    known = sample.limited & ~np.isnan(state.threshold[rows])
    threshold = thresholds(state, budget, rows, sample.limited)
    over = np.where(known, news, distance) >= threshold
    lasts = over & (np.where(known, lasting, lasting + stale) >= threshold)
    some = np.flatnonzero(sample.limited)
    if len(some) and math.isfinite(budget.alerts_per_day):
        _count(state, rows[some], time[some], lasting[some], gap[some], sample.outside[some])
        _decide(state, budget, rows[some], time[some])
    return Watched(over, lasts, threshold + np.where(known, stale, 0.0))


def thresholds(state: BudgetState, budget: Budget, rows: IntArray, limited: BoolArray) -> FloatArray:
    """[n] scales from which a sample counts: those that the budget asks for, once the rule knows the host."""
    own = state.threshold[rows]
    return np.where(limited & ~np.isnan(own), np.maximum(own, budget.lowest), budget.distance)


def unusual_from(state: BudgetState, budget: Budget, rows: IntArray, time: IntArray, limited: BoolArray) -> FloatArray:
    """[n] the distance from which `watch` would let a sample at `time` count: less after a quiet hour than after one
    that was high."""
    asked = thresholds(state, budget, rows, limited)
    return asked + np.where(limited & ~np.isnan(state.threshold[rows]), _stale(state, rows, time), 0.0)


def forgive(state: BudgetState, row: int, opened_at: int, distance: float, by: int = 1) -> None:
    """An alert whose highest distance was this no longer counts, or (`by` -1) counts again."""
    slot = np.flatnonzero(state.day[row] == opened_at // DAY_MS)
    if len(slot):
        news = np.array([[distance - STALE * STALE_FROM]])  # after a quiet hour
        alerts = -by * (news >= THRESHOLDS)
        _change(state.sent, np.array([row]), slot[:1], alerts, MOST_SENT)
        _change(state.let_off, np.array([row]), slot[:1], (alerts * _let_off(news))[:, :NEAR], MOST_LET_OFF)
        state.decided_at[row] = NEVER


def threshold_if(state: BudgetState, budget: Budget, row: int, opened_at: int, distance: float, by: int) -> float:
    """The threshold that the counts ask for now if such an alert were forgiven (`by` as there, 0: as it is)."""
    copy = state.copy_into(BudgetState(), np.array([row]))
    forgive(copy, 0, opened_at, distance, by)
    copy.decided_at[0] = NEVER
    _decide(copy, budget, np.array([0]), copy.last_time[:1])
    return float(thresholds(copy, budget, np.array([0]), np.array([True]))[0])


def rates(state: BudgetState, budget: Budget, row: int) -> FloatArray:
    """[levels] alerts a day that each of `THRESHOLDS` would send on this host: the trade-off to choose from."""
    found: FloatArray = _rates(state, budget, np.array([row]), state.last_time[[row]])[0]
    return found


def spent(state: BudgetState, budget: Budget, row: int, days: int) -> Spent:
    """By this host in its last `days`, at the threshold in use."""
    level = np.searchsorted(THRESHOLDS, thresholds(state, budget, np.array([row]), np.array([True]))[0] - 1e-9)
    recent, level = state.day[row] > state.last_time[row] // DAY_MS - days, min(level, LEVELS - 1)
    alerts = int(state.sent[row, recent, level].sum())
    less = _all_let_off(state, np.array([row]))[0, recent, level].sum() / HUNDREDTHS
    return Spent(alerts, max(alerts - float(less), 0.0))


def _stale(state: BudgetState, rows: IntArray, time: IntArray) -> FloatArray:
    """[n] what is taken off a distance because the last hour was high; less than nothing after a quiet one."""
    return STALE * np.maximum(_highest(state, rows, time) - DAILY, STALE_FROM)


def _highest(state: BudgetState, rows: IntArray, time: IntArray) -> FloatArray:
    """[n] of the hour before the present five minutes; -inf: nothing was seen then."""
    now = (time // STRETCH_MS)[:, None]
    ago = now - state.stretch[rows]
    return np.where((ago >= 1) & (ago <= STRETCHES), state.highest[rows], -np.inf).max(axis=1).astype(np.float64)


def _remember(state: BudgetState, rows: IntArray, time: IntArray, distance: FloatArray) -> None:
    now = time // STRETCH_MS
    slot = now % STRETCHES
    same = state.stretch[rows, slot] == now
    state.highest[rows, slot] = np.where(same, np.maximum(state.highest[rows, slot], distance), distance)
    state.stretch[rows, slot] = now


def _lasting(state: BudgetState, budget: Budget, rows: IntArray, news: FloatArray, gap: IntArray) -> FloatArray:
    """[n] what `samples` of the last `window` reach, or fewer of them that go farther; a sample that stands for half a
    minute lasts by itself."""
    state.lately[rows, state.seen[rows] % LONGEST_WINDOW] = news
    state.seen[rows] += 1
    places = (state.seen[rows][:, None] - 1 - np.arange(budget.window)) % LONGEST_WINDOW
    lately = np.sort(state.lately[rows[:, None], places], axis=1)[:, -budget.samples :]
    fewer = np.arange(budget.samples, dtype=np.float64)  # than asked for: their lowest comes that many places later
    reached = np.minimum(lately, news[:, None]) - FARTHER * fewer
    return np.where(gap >= LASTS_MS, news, reached.max(axis=1))


def _count(
    state: BudgetState, rows: IntArray, time: IntArray, lasting: FloatArray, gap: IntArray, outside: BoolArray
) -> None:
    """Let all thresholds see the sample. Few hosts are over the lowest at any time; the others cost nothing."""
    begins = outside & ~state.outside[rows]
    state.outside[rows] = outside
    if begins.any():
        _take_back(state, rows[begins], time[begins])
    asked = np.flatnonzero(lasting >= LOWEST)
    if not len(asked):
        return
    hosts, at, x = rows[asked], time[asked][:, None], lasting[asked][:, None]
    above = x >= THRESHOLDS
    apart = np.maximum(APART_SAMPLES * gap[asked], APART_MS)[:, None]
    fresh = at - state.above_at[hosts] > apart
    told, told_at = state.told[hosts], state.told_at[hosts]
    rises = at - told_at < RISES_MS
    first = fresh | (at - told_at >= AGAIN_MS)
    counted = above & ~outside[asked][:, None]
    tells = counted & (first | (x > told + WORSE) & ~rises)
    state.above_at[hosts] = np.where(above, at, state.above_at[hosts])
    reached = np.where(tells, x, np.where(rises, np.maximum(told, x), told))
    slot = _add(state, hosts, at[:, 0] // DAY_MS, tells & (first | (x < FAR)))
    far = np.flatnonzero(x[:, 0] > FAR_FROM)
    if len(far):
        before = np.where(first[far, :NEAR], 0, _let_off(told[far, :NEAR]))
        farther = (_let_off(reached[far, :NEAR]) - before) * (tells | counted & rises)[far, :NEAR]
        _change(state.let_off, hosts[far], slot[far], farther, MOST_LET_OFF)
    state.told[hosts] = reached
    state.told_at[hosts] = np.where(tells, at, told_at)


def _let_off(distance: npt.NDArray[np.floating]) -> IntArray:
    """How much less an alert counts that went so far, hundredths of an alert."""
    share = np.clip((distance - FAR_FROM) / (FAR - FAR_FROM), 0.0, 1.0)
    found: IntArray = np.rint(LET_OFF * share).astype(np.int64)
    return found


def _add(state: BudgetState, hosts: IntArray, day: IntArray, tells: BoolArray) -> IntArray:
    """Count alerts of this day; returns its slots."""
    slot = day % DAYS
    stale = state.day[hosts, slot] != day
    state.sent[hosts[stale], slot[stale]] = 0
    state.let_off[hosts[stale], slot[stale]] = 0
    state.day[hosts, slot] = day
    counts = state.sent[hosts, slot]
    state.sent[hosts, slot] = counts + (tells & (counts < MOST_SENT))
    return slot


def _change(counts: npt.NDArray[np.uint8], rows: IntArray, slot: IntArray, by: IntArray, most: int) -> None:
    counts[rows, slot] = np.clip(counts[rows, slot] + by, 0, most)


def _take_back(state: BudgetState, rows: IntArray, time: IntArray) -> None:
    """What was told in the last quarter of an hour turned out to be about a limit or a climb."""
    lately = time[:, None] - state.told_at[rows] <= TURNS_OUT_MS
    slot = time // DAY_MS % DAYS
    alerts = -1 * (lately & (state.day[rows, slot] == time // DAY_MS)[:, None])
    _change(state.sent, rows, slot, alerts, MOST_SENT)
    _change(state.let_off, rows, slot, (alerts * _let_off(state.told[rows]))[:, :NEAR], MOST_LET_OFF)
    # no alert is taken back twice
    state.told_at[rows] = np.where(lately, time[:, None] - TURNS_OUT_MS - 1, state.told_at[rows])


def _decide(state: BudgetState, budget: Budget, rows: IntArray, time: IntArray) -> None:
    due = (time - state.decided_at[rows] >= DECIDES_EACH_MS) & (time - state.began[rows] >= KNOWS_AFTER_MS)
    hosts = rows[due]
    if not len(hosts):
        return
    good = _rates(state, budget, hosts, time[due], _all_let_off(state, hosts)) <= budget.tolerated
    # the lowest threshold that is good with all above it
    run = np.logical_and.accumulate(good[:, ::-1], axis=1).sum(axis=1)
    lowest = LEVELS - run
    state.threshold[hosts] = np.where(run > 0, THRESHOLDS[np.minimum(lowest, LEVELS - 1)], np.inf)
    state.decided_at[hosts] = time[due]


def _all_let_off(state: BudgetState, rows: IntArray) -> npt.NDArray[np.uint8]:
    """[n, days, levels] hundredths; bytes only, because every three hours all hosts are asked at once."""
    enough = np.minimum(state.sent[rows], -(-MOST_LET_OFF // LET_OFF))
    found: npt.NDArray[np.uint8] = np.minimum(enough * np.uint8(LET_OFF), np.uint8(MOST_LET_OFF))
    found[..., :NEAR] = state.let_off[rows]
    return found


def _rates(
    state: BudgetState, budget: Budget, rows: IntArray, time: IntArray, let_off: npt.NDArray[np.uint8] | None = None
) -> FloatArray:
    """[n, levels] alerts a day; with `let_off` [n, days, levels] what they count as."""
    today, began = (time // DAY_MS)[:, None], state.began[rows] / DAY_MS
    recent = (state.day[rows] > today - DAYS) & (state.day[rows] >= 0)
    share, _ = _counts_as(state.day[rows] - began[:, None])
    counts = np.einsum("nd,ndl->nl", recent * share, state.sent[rows])
    if let_off is not None:
        counts = np.maximum(counts - np.einsum("nd,ndl->nl", recent * share, let_off) / HUNDREDTHS, 0.0)
    age = time / DAY_MS - began
    days = (_counts_as(age)[1] - _counts_as(np.maximum(age - DAYS, 0.0))[1])[:, None]
    weight = 1.0 / budget.alerts_per_day
    found: FloatArray = (counts + weight * PRIOR) / (days + weight)
    return found


def _counts_as(age: FloatArray) -> tuple[FloatArray, FloatArray]:
    """How much a host's day counts that begins at `age` days; and what all its days before count together."""
    grown = np.clip((age - NEW_DAYS) / (KNOWN_DAYS - NEW_DAYS), 0.0, 1.0)
    days = np.clip(age - NEW_DAYS, 0.0, KNOWN_DAYS - NEW_DAYS)
    whole = np.maximum(age - KNOWN_DAYS, 0.0)
    more = 1.0 - COUNTS_WHEN_NEW
    return COUNTS_WHEN_NEW + more * grown, COUNTS_WHEN_NEW * (age - whole) + more * grown * days / 2 + whole
