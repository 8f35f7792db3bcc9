"""Scorer: a frame in, its scores out; joins the detectors and keeps the state that they need.

A sample is scored on what was known before it, then learned from. Rows older than what a host already showed never
touch its state: a few are scored against the baseline as it is, many are scored as a history of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from monitor_core.detection.buckets import BUCKET_MS
from monitor_core.detection.detectors import isolation_forest, limits, neighbours, robust_z, stuck, trend
from monitor_core.detection.detectors.isolation_forest import Forest
from monitor_core.detection.detectors.neighbours import HostModels
from monitor_core.detection.features import features
from monitor_core.detection.host_state import HostState
from monitor_core.detection.multiscale import Float32Array
from monitor_core.frame import BoolArray, FloatArray, Frame, IntArray, rounds
from monitor_core.metrics import CATALOGUE_TABLE, MetricTable
from monitor_core.scores import Scores, empty_scores

LIMITS, ROBUST_Z, FOREST, TREND, STUCK, NEIGHBOURS = range(6)
FAST = np.array([ROBUST_Z, FOREST])
SLOW = np.array([TREND, STUCK])
HISTORY_ROWS = 60
# The forest may speak from one scale on and fully from two: an odd combination that nobody would see is harmless.
QUIET_BELOW, FULL_VOICE = 1.0, 2.0
# Where one sample is a bucket of the neighbours', they see all that the fast detectors see; of hosts that speak more
# often a bucket hides the seconds.
HIDES_MS, HIDES_NOTHING_MS = 15_000, 60_000
LARGEST_DISTANCE = 40.0

Limits = Mapping[str, float | None]


class Heard(NamedTuple):
    """What the neighbours say: `level` [n] (NaN: nothing), as it is `shown`, and `parts` [n, m]."""

    level: FloatArray
    shown: FloatArray
    parts: FloatArray


class Scorer:
    """Owns the HostState. `limits` are the defaults per metric, `host_limits` override them for named hosts; `metrics`
    are the columns of its frames.
    """

    def __init__(
        self,
        default_limits: Limits,
        host_limits: Mapping[str, Limits] | None = None,
        spacing_ms: int = 15_000,
        metrics: MetricTable = CATALOGUE_TABLE,
    ) -> None:
        self.metrics = metrics
        self.state = HostState(spacing_ms, metrics)
        self.forest: Forest | None = None
        self.models: HostModels | None = None
        self.model_version = 0
        self._default = self._limit_row(default_limits)
        self._overrides = {
            host: self._limit_row({**default_limits, **own}) for host, own in (host_limits or {}).items()
        }

    def use(self, forest: Forest | None, version: int, models: HostModels | None = None) -> None:
        """From now on this model version speaks."""
        self.forest, self.model_version, self.models = forest, version, models

    def _limit_row(self, values: Limits) -> FloatArray:
        row = [values.get(key) for key in self.metrics.keys]
        return np.array([np.nan if limit is None else limit for limit in row], dtype=np.float64)

    def limits_of(self, hosts: list[str] | tuple[str, ...]) -> FloatArray:
        """[hosts, m] limits; NaN: none."""
        return np.array([self._overrides.get(host, self._default) for host in hosts]).reshape(-1, len(self.metrics))

    def score(self, frame: Frame, pause: Callable[[], None] | None = None) -> Scores:
        """Score every sample and learn from it; `pause` is called now and then during long histories."""
        out = empty_scores(len(frame), len(self.metrics), self.model_version)
        rows = self.state.rows(frame.hosts)[frame.code]
        table = self.limits_of(frame.hosts)[frame.code]
        for number, part in enumerate(rounds(frame.code)):
            fresh = frame.time[part] > self.state.last_time[rows[part]]
            if fresh.all():
                self._step(frame, part, rows[part], table[part], out)
            elif fresh.any():
                self._step(frame, part[fresh], rows[part[fresh]], table[part[fresh]], out)
            if pause is not None and number % 50 == 49:
                pause()
        return out

    def late_rows(self, frame: Frame) -> IntArray:
        """Rows that `score` would not learn from: at or before what their host already showed, or out of order."""
        rows = self.state.rows(frame.hosts)
        newest = self.state.last_time[rows][frame.code]
        if len(frame) == len(np.unique(frame.code)):
            return np.flatnonzero(frame.time <= newest)
        late = []
        for part in rounds(frame.code):
            codes = frame.code[part]
            behind = frame.time[part] <= newest[part]
            late.append(part[behind])
            if behind.all():
                continue
            ahead = part[~behind]
            best = np.full(len(frame.hosts), np.iinfo(np.int64).min)
            best[codes[~behind]] = frame.time[ahead]
            newest = np.maximum(newest, best[frame.code])
        return np.sort(np.concatenate(late)) if late else np.zeros(0, dtype=np.int64)

    def score_late(self, frame: Frame, pause: Callable[[], None] | None = None) -> Scores:
        """Score rows that came too late to be learned from, without touching the state."""
        counts = np.bincount(frame.code, minlength=len(frame.hosts))
        if len(frame) and counts.max() >= HISTORY_ROWS:
            return self.with_empty_memory().score(frame, pause)
        return self.peek(frame)

    def peek(self, frame: Frame) -> Scores:
        """Score each row as if its host's level were these values now; neither learns nor changes anything."""
        out = empty_scores(len(frame), len(self.metrics), self.model_version)
        known = np.array([self.state.find(host) is not None for host in frame.hosts], dtype=np.bool_)
        state = self.state if known.all() else self._with_strangers(frame)
        rows = state.rows(frame.hosts)[frame.code]
        everything = np.arange(len(frame))
        before = state.level_before(rows)
        table = self.limits_of(frame.hosts)[frame.code]
        near = self._near(state, rows, state.window_if(rows, frame.values), np.isnan(frame.values), frame.time)
        said, fading = neighbours.calmed(near.distance, state.near_before[rows], state.near_fading[rows])
        heard = Heard(said, neighbours.shown(said, fading), near.parts)
        self._judge(state, frame.values, frame.values, before, rows, everything, table, heard, out)
        return out

    def _with_strangers(self, frame: Frame) -> HostState:
        names = [host for host in frame.hosts if self.state.find(host) is not None]
        return self.state.copy_of(self.state.rows(names))

    def with_empty_memory(self) -> Scorer:
        """The same rules and model, knowing no host."""
        other = Scorer({}, None, self.state.spacing_ms, self.metrics)
        other._default, other._overrides = self._default, self._overrides
        other.use(self.forest, self.model_version, self.models)
        return other

    def _step(self, frame: Frame, part: IntArray, rows: IntArray, limit: FloatArray, out: Scores) -> None:
        time, values = frame.time[part], frame.values[part]
        self.state.push(rows, time, values)
        self._measure_slopes(rows, time, values)
        self._measure_distances(rows, time, values)
        level = self.state.level(rows)
        said = self.state.near_level[rows]
        heard = Heard(said, neighbours.shown(said, self.state.near_fading[rows]), self.state.near_parts[rows])
        self._judge(self.state, values, level, self.state.level_before(rows), rows, part, limit, heard, out)
        self.state.breach[rows] = out.breach[part]
        self.state.learn(rows, time, level)

    def _measure_slopes(self, rows: IntArray, time: IntArray, values: FloatArray) -> None:
        """Each bucket that is over shows anew how fast what fills up climbs."""
        state = self.state
        for scale, due, window in state.fill_buckets(rows, time, values):
            slopes = trend.climb(window.reshape(-1, window.shape[2]), BUCKET_MS[scale])
            state.climbs[due, scale] = slopes.reshape(len(due), len(state.fills), 4)
            state.climbing[due] = ~np.isnan(state.climbs[due, :, :, 1]).all(axis=(1, 2))

    def _measure_distances(self, rows: IntArray, time: IntArray, values: FloatArray) -> None:
        """Each minute that is over is compared with all that the host's model knows."""
        state = self.state
        over = state.fill_minutes(rows, time, values, state.last_gap(rows))
        if self.models is None or not len(over):
            return
        hosts = rows[over]
        near = self._near(state, hosts, state.window(hosts), np.isnan(values[over]), time[over])
        state.near_level[hosts], state.near_fading[hosts] = neighbours.calmed(
            near.distance, state.near_before[hosts], state.near_fading[hosts]
        )
        state.near_before[hosts] = near.distance
        state.near_parts[hosts] = near.parts

    def _near(
        self, state: HostState, rows: IntArray, window: Float32Array, missing: BoolArray, time: IntArray
    ) -> neighbours.Near:
        """NaN for hosts that no model knows, or whose window is not full enough."""
        found = neighbours.silent(len(rows), len(self.metrics))
        if self.models is None:
            return found
        places = self.models.places([state.names[row] for row in rows.tolist()])
        asked = np.flatnonzero((places >= 0) & state.is_filled(rows))
        if len(asked):
            said = neighbours.near(self.models.model, places[asked], window[asked], missing[asked], time[asked])
            found.distance[asked], found.parts[asked] = said.distance, said.parts
        return found

    def _judge(
        self,
        state: HostState,
        values: FloatArray,
        level: FloatArray,
        before: FloatArray,
        rows: IntArray,
        into: IntArray,
        limit: FloatArray,
        heard: Heard,
        out: Scores,
    ) -> None:
        """Let every detector speak about `values` and their `level`; write rows `into` of `out`."""
        warm = state.is_warm(rows)
        median, scale = state.median[rows], state.scale[rows]
        distance = robust_z.z(level, median, scale, self.metrics.high) * warm[:, None]
        breach = limits.exceeded(values, limit, state.breach[rows])
        votes = np.full((len(rows), out.by_detector.shape[1]), np.nan)
        votes[:, LIMITS] = limits.score(values, limit, breach, self.metrics.high)
        votes[warm, ROBUST_Z] = robust_z.score(distance)[warm]
        squares = distance**2
        self._ask_forest(distance, level, before, scale, warm, votes, squares)
        now = self._ask_neighbours(state, rows, heard, votes, squares)
        out.distance[into] = distance_of(np.fmax(np.fmax.reduce(votes[:, FAST], axis=1), now))
        self._ask_trend(state, level, rows, warm, into, votes, squares, out)
        self._ask_stuck(state, values, rows, into, votes, squares, out)
        low, high = robust_z.expected(median, scale, self.metrics.high)
        out.warm[into] = warm
        out.breach[into] = breach
        out.by_detector[into] = np.round(votes, 3)
        out.score[into] = np.round(np.fmax.reduce(votes, axis=1), 3)
        out.contributions[into] = _shares(squares, breach)
        out.expected_low[into] = np.where(warm[:, None], np.clip(low, self.metrics.low, self.metrics.high), np.nan)
        out.expected_high[into] = np.where(warm[:, None], np.clip(high, self.metrics.low, self.metrics.high), np.nan)

    def _ask_forest(
        self,
        distance: FloatArray,
        level: FloatArray,
        before: FloatArray,
        scale: FloatArray,
        warm: BoolArray,
        votes: FloatArray,
        squares: FloatArray,
    ) -> None:
        """Fill the forest's votes; where it speaks, jumps count among the contributions too."""
        if self.forest is None:
            return
        farthest = np.abs(distance).max(axis=1)
        votes[warm, FOREST] = 0.0
        asked = np.flatnonzero(warm & (farthest >= QUIET_BELOW))
        if not len(asked):
            return
        table = features(distance[asked], level[asked], before[asked], scale[asked])
        voice = np.clip(farthest[asked] / FULL_VOICE, 0.0, 1.0)
        votes[asked, FOREST] = isolation_forest.score(self.forest, table) * voice
        squares[asked] += table[:, len(self.metrics) :] ** 2 / 4

    def _ask_neighbours(
        self, state: HostState, rows: IntArray, heard: Heard, votes: FloatArray, squares: FloatArray
    ) -> FloatArray:
        """The more history their model has, the more they say; where they see all that the fast detectors see, those
        fall silent as much. Parts are those of whoever is louder. Returns [n] their score before anything fades."""
        now = np.full(len(rows), np.nan)
        asked = np.flatnonzero(~np.isnan(heard.level))
        if self.models is None or not len(asked):
            return now
        hosts = rows[asked]
        voice = self.models.voice([state.names[row] for row in hosts.tolist()])
        gap = np.nan_to_num(state.last_gap(hosts))
        hush = 1.0 - voice * np.clip((gap - HIDES_MS) / (HIDES_NOTHING_MS - HIDES_MS), 0.0, 1.0)
        fast = votes[np.ix_(asked, FAST)]
        fast = 1.0 - (1.0 - np.minimum(fast, 1.0 - 1e-6)) ** hush[:, None]
        votes[np.ix_(asked, FAST)] = fast
        votes[asked, NEIGHBOURS] = robust_z.score_of(voice * neighbours.scales(heard.shown[asked]))
        now[asked] = robust_z.score_of(voice * neighbours.scales(heard.level[asked]))
        louder = now[asked] >= np.fmax.reduce(fast, axis=1, initial=0.0)
        squares[asked[louder]] = heard.parts[asked[louder]]
        return now

    def _ask_trend(
        self,
        state: HostState,
        level: FloatArray,
        rows: IntArray,
        warm: BoolArray,
        into: IntArray,
        votes: FloatArray,
        squares: FloatArray,
        out: Scores,
    ) -> None:
        """Only a few hosts climb at any time, so the others cost nothing."""
        votes[warm, TREND] = 0.0
        asked = np.flatnonzero(state.climbing[rows])
        if not len(asked):
            return
        hosts = rows[asked]
        fills, full = state.fills, self.metrics.high[state.fills]
        score, slope = trend.judge(state.climbs[hosts], level[asked][:, fills], state.highest_before(hosts), full)
        votes[asked, TREND] = score.max(axis=1)
        squares[np.ix_(asked, fills)] += _as_squares(score)
        out.slope[np.ix_(into[asked], fills)] = slope

    def _ask_stuck(
        self,
        state: HostState,
        values: FloatArray,
        rows: IntArray,
        into: IntArray,
        votes: FloatArray,
        squares: FloatArray,
        out: Scores,
    ) -> None:
        """A value that differs from the last one is not stuck, whatever the state says (somebody only asks)."""
        known = state.last_time[rows] - state.first_time[rows] >= stuck.KNOWN_FOR_MS
        votes[known, STUCK] = 0.0
        asked = np.flatnonzero(known & (state.same_samples[rows] >= stuck.FEWEST_SAMPLES).any(axis=1))
        if not len(asked):
            return
        hosts, value = rows[asked], values[asked]
        lasted = state.last_time[hosts][:, None] - state.same_since[hosts]
        same_ms = np.where(value == state.same_value[hosts], lasted, 0)
        score = stuck.score(
            value, same_ms, state.same_samples[hosts], state.same_longest[hosts], state.changes[hosts], self.metrics
        )
        votes[asked, STUCK] = score.max(axis=1)
        squares[asked] += _as_squares(score)
        out.same_ms[into[asked]] = np.where(score > 0, same_ms, np.nan)


def distance_of(score: FloatArray) -> FloatArray:
    """[n] the distance in scales that such a score stands for; 0 where nobody spoke."""
    return np.minimum(-2.0 * np.log2(1.0 - np.minimum(np.nan_to_num(score), 1.0 - 1e-6)), LARGEST_DISTANCE)


def _as_squares(score: FloatArray) -> FloatArray:
    """What a robust z of this score would count among the contributions."""
    return (2.0 * np.log2(1.0 - score)) ** 2


def _shares(squares: FloatArray, breach: BoolArray) -> FloatArray:
    """[n, m] parts of 1: by squared distance, but a breached limit outranks everything that is not one."""
    outranked = breach.any(axis=1, keepdims=True)
    weight = np.where(outranked, breach * (1.0 + squares), squares)
    total = weight.sum(axis=1, keepdims=True)
    return np.round(np.divide(weight, total, out=np.zeros_like(weight), where=total > 0), 3)
