"""Scorer: a frame in, its scores out; walks through the samples and keeps the state that the detectors need.

A sample is scored on what was known before it, then learned from. Rows older than what a host already showed never
touch its state: a few are scored against the baseline as it is, many are scored as a history of their own. What must
be known is noted sample by sample; what the detectors say about it (`votes.py`) is worked out for many at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice

import numpy as np

from monitor_core.detection.buckets import BUCKET_MS
from monitor_core.detection.detectors import limits, neighbours, stuck, trend
from monitor_core.detection.detectors.isolation_forest import Forest
from monitor_core.detection.detectors.neighbours import HostModels
from monitor_core.detection.host_state import RECENT, HostState, level_before_of, level_of
from monitor_core.detection.multiscale import Float32Array
from monitor_core.detection.votes import Known, Voices, nothing_known
from monitor_core.frame import BoolArray, FloatArray, Frame, IntArray, rounds
from monitor_core.metrics import CATALOGUE_TABLE, MetricTable
from monitor_core.scores import Scores, empty_scores

HISTORY_ROWS = 60
ROUNDS_AT_ONCE = 50

Limits = Mapping[str, float | None]


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
        for some in _at_once(rounds(frame.code)):
            into, known = self._walk(frame, some, rows, table)
            self._vote(frame, into, known, out)
            if pause is not None and len(some) == ROUNDS_AT_ONCE:
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
        strangers = any(self.state.find(host) is None for host in frame.hosts)
        state = self._with_strangers(frame) if strangers else self.state
        rows = state.rows(frame.hosts)[frame.code]
        known = nothing_known(len(frame), self.metrics)
        known.level, known.before = frame.values, state.level_before(rows)
        near = self._near(state, rows, state.window_if(rows, frame.values), np.isnan(frame.values), frame.time)
        said, fading = neighbours.calmed(near.distance, state.near_before[rows], state.near_fading[rows])
        everything = slice(None)
        self._note(state, rows, frame.values, self.limits_of(frame.hosts)[frame.code], known, everything)
        self._note_slow(state, rows, frame.values, frame.values, known, everything)
        known.near, known.fading, known.parts = said, fading, near.parts
        self._vote(frame, np.arange(len(frame)), known, out)
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

    def _walk(self, frame: Frame, parts: list[IntArray], rows: IntArray, limit: FloatArray) -> tuple[IntArray, Known]:
        """Take the samples of `parts` in order; which of them were taken, and what was known as each came."""
        n = sum(len(part) for part in parts)
        known, taken, stop = nothing_known(n, self.metrics), [], 0
        recent, recent_at = np.empty((n, RECENT, len(self.metrics))), np.empty(n, dtype=np.int64)
        for part in parts:
            fresh = frame.time[part] > self.state.last_time[rows[part]]
            part = part if fresh.all() else part[fresh]  # noqa: PLW2901 - the same part without what is behind
            if not len(part):
                continue
            at, stop = slice(stop, stop + len(part)), stop + len(part)
            own = rows[part]
            self._step(own, frame.time[part], frame.values[part], limit[part], known, at)
            recent[at], recent_at[at] = self.state.recent[own], self.state.recent_at[own]
            taken.append(part)
        known = known.first(stop)
        known.level = level_of(recent[:stop], recent_at[:stop])
        known.before = level_before_of(recent[:stop], recent_at[:stop])
        return np.concatenate(taken) if taken else np.zeros(0, dtype=np.int64), known

    def _step(
        self, rows: IntArray, time: IntArray, values: FloatArray, limit: FloatArray, known: Known, at: slice
    ) -> None:
        """One sample for each of `rows`; what is known as it comes goes into `at` of `known`."""
        state = self.state
        state.push(rows, time, values)
        self._measure_slopes(rows, time, values)
        self._measure_distances(rows, time, values)
        self._note(state, rows, values, limit, known, at)
        self._note_slow(state, rows, values, None, known, at)
        state.breach[rows] = known.breach[at]
        state.learn(rows, time)

    def _vote(self, frame: Frame, into: IntArray, known: Known, out: Scores) -> None:
        if len(into):
            hosts = [frame.hosts[code] for code in frame.code[into].tolist()]
            Voices(self.metrics, self.forest, self.models).vote(frame.values[into], known, hosts, into, out)

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

    def _note(
        self, state: HostState, rows: IntArray, values: FloatArray, limit: FloatArray, known: Known, at: slice
    ) -> None:
        """What the state of `rows` says now."""
        known.limit[at] = limit
        known.breach[at] = limits.exceeded(values, limit, state.breach[rows])
        known.median[at], known.scale[at] = state.median[rows], state.scale[rows]
        known.warm[at] = state.is_warm(rows)
        known.gap[at] = state.last_gap(rows)
        known.near[at], known.fading[at] = state.near_level[rows], state.near_fading[rows]
        known.parts[at] = state.near_parts[rows]

    def _note_slow(
        self, state: HostState, rows: IntArray, values: FloatArray, level: FloatArray | None, known: Known, at: slice
    ) -> None:
        """What climbs, and what stands still: only a few hosts do at any time, so the others cost nothing.

        `level` None: that of the state. A value that differs from the last one is not stuck, whatever the state says
        (somebody only asks)."""
        known.climbing[at] = climbing = state.climbing[rows]
        if climbing.any():
            hosts, own = rows[climbing], np.flatnonzero(climbing) + (at.start or 0)
            fills, full = state.fills, self.metrics.high[state.fills]
            now = (state.level(hosts) if level is None else level[climbing])[:, fills]
            known.climb[own], known.slope[own] = trend.judge(
                state.climbs[hosts], now, state.highest_before(hosts), full
            )
        known.long[at] = long = state.last_time[rows] - state.first_time[rows] >= stuck.KNOWN_FOR_MS
        still = long & (state.same_samples[rows] >= stuck.FEWEST_SAMPLES).any(axis=1)
        if still.any():
            hosts, own = rows[still], np.flatnonzero(still) + (at.start or 0)
            lasted = state.last_time[hosts][:, None] - state.same_since[hosts]
            same_ms = known.same_ms[own] = np.where(values[still] == state.same_value[hosts], lasted, 0)
            told = state.same_samples[hosts], state.same_longest[hosts], state.changes[hosts]
            known.stuck[own] = stuck.score(values[still], same_ms, *told, self.metrics)


def _at_once(parts: Iterable[IntArray]) -> Iterator[list[IntArray]]:
    left = iter(parts)
    while some := list(islice(left, ROUNDS_AT_ONCE)):
        yield some
