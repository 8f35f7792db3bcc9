"""Votes: what every detector says about samples, given what was known of their hosts when each of them came (pure).

Nothing here remembers anything, so that thousands of samples, of one host or of many, are one call.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Self

import numpy as np

from monitor_core.detection.detectors import isolation_forest, limits, neighbours, robust_z
from monitor_core.detection.detectors.isolation_forest import Forest
from monitor_core.detection.detectors.neighbours import HostModels
from monitor_core.detection.features import features
from monitor_core.frame import BoolArray, FloatArray, IntArray
from monitor_core.metrics import MetricTable
from monitor_core.scores import Scores

LIMITS, ROBUST_Z, FOREST, TREND, STUCK, NEIGHBOURS = range(6)
FAST = np.array([ROBUST_Z, FOREST])
SLOW = np.array([TREND, STUCK])
# The forest may speak from one scale on and fully from two: an odd combination that nobody would see is harmless.
QUIET_BELOW, FULL_VOICE = 1.0, 2.0
# Where one sample is a bucket of the neighbours', they see all that the fast detectors see; of hosts that speak more
# often a bucket hides the seconds.
HIDES_MS, HIDES_NOTHING_MS = 15_000, 60_000
LARGEST_DISTANCE = 40.0


@dataclass(slots=True, eq=False)
class Known:
    """What is known of the hosts of n samples as each of them comes; m metrics, of which f fill up.

    `level` [n, m] what the detectors look at, `before` [n, m] the level before it; `limit` [n, m] (NaN: none) and
    `breach` [n, m]; `median`, `scale` [n, m] of the baseline and whether it is `warm` [n]; `gap` [n] ms to the sample
    before. Of the neighbours `near` [n] (NaN: they say nothing), what is `fading` [n] and the metrics' `parts` [n, m].
    Of the slow channel `climbing` [n], its score `climb` [n, f] and `slope` [n, f, 3]; is the host known for `long`
    enough [n], its score `stuck` [n, m] and for how long in ms, `same_ms` [n, m].
    """

    level: FloatArray
    before: FloatArray
    limit: FloatArray
    breach: BoolArray
    median: FloatArray
    scale: FloatArray
    warm: BoolArray
    gap: FloatArray
    near: FloatArray
    fading: FloatArray
    parts: FloatArray
    climbing: BoolArray
    climb: FloatArray
    slope: FloatArray
    long: BoolArray
    stuck: FloatArray
    same_ms: FloatArray

    def first(self, n: int) -> Self:
        """Of the first n samples."""
        return type(self)(*(getattr(self, field.name)[:n] for field in fields(self)))


def nothing_known(n: int, metrics: MetricTable) -> Known:
    """Room for what is known of n samples; of the rare things, that there are none."""
    shape, fills = (n, len(metrics)), (n, len(metrics.fills))
    return Known(
        level=np.empty(shape),
        before=np.empty(shape),
        limit=np.empty(shape),
        breach=np.empty(shape, dtype=np.bool_),
        median=np.empty(shape),
        scale=np.empty(shape),
        warm=np.empty(n, dtype=np.bool_),
        gap=np.empty(n),
        near=np.empty(n),
        fading=np.empty(n),
        parts=np.empty(shape),
        climbing=np.empty(n, dtype=np.bool_),
        climb=np.zeros(fills),
        slope=np.full((*fills, 3), np.nan),
        long=np.empty(n, dtype=np.bool_),
        stuck=np.zeros(shape),
        same_ms=np.full(shape, np.nan),
    )


@dataclass(frozen=True, slots=True)
class Voices:
    """Who speaks beside the detectors that need no model, about samples with these `metrics`."""

    metrics: MetricTable
    forest: Forest | None
    models: HostModels | None

    def vote(self, values: FloatArray, known: Known, hosts: Sequence[str], into: IntArray, out: Scores) -> None:
        """Let every detector speak about `values` [n, m] of `hosts` [n]; write rows `into` of `out`."""
        metrics, warm = self.metrics, known.warm
        distance = robust_z.z(known.level, known.median, known.scale, metrics.high) * warm[:, None]
        votes = np.full((len(values), out.by_detector.shape[1]), np.nan)
        votes[:, LIMITS] = limits.score(values, known.limit, known.breach, metrics.high)
        votes[warm, ROBUST_Z] = robust_z.score(distance)[warm]
        squares = distance**2
        self._ask_forest(distance, known, votes, squares)
        now = self._ask_neighbours(known, hosts, votes, squares)
        out.distance[into] = distance_of(np.fmax(np.fmax.reduce(votes[:, FAST], axis=1), now))
        self._hear_slow(known, votes, squares)
        low, high = robust_z.expected(known.median, known.scale, metrics.high)
        out.warm[into] = warm
        out.breach[into] = known.breach
        out.by_detector[into] = np.round(votes, 3)
        out.score[into] = np.round(np.fmax.reduce(votes, axis=1), 3)
        out.contributions[into] = _shares(squares, known.breach)
        out.expected_low[into] = np.where(warm[:, None], np.clip(low, metrics.low, metrics.high), np.nan)
        out.expected_high[into] = np.where(warm[:, None], np.clip(high, metrics.low, metrics.high), np.nan)
        out.slope[np.ix_(into, metrics.fills)] = known.slope
        out.same_ms[into] = np.where(known.stuck > 0, known.same_ms, np.nan)

    def _ask_forest(self, distance: FloatArray, known: Known, votes: FloatArray, squares: FloatArray) -> None:
        """Fill the forest's votes; where it speaks, jumps count among the contributions too."""
        if self.forest is None:
            return
        farthest = np.abs(distance).max(axis=1)
        votes[known.warm, FOREST] = 0.0
        asked = np.flatnonzero(known.warm & (farthest >= QUIET_BELOW))
        if not len(asked):
            return
        table = features(distance[asked], known.level[asked], known.before[asked], known.scale[asked])
        voice = np.clip(farthest[asked] / FULL_VOICE, 0.0, 1.0)
        votes[asked, FOREST] = isolation_forest.score(self.forest, table) * voice
        squares[asked] += table[:, len(self.metrics) :] ** 2 / 4

    def _ask_neighbours(self, known: Known, hosts: Sequence[str], votes: FloatArray, squares: FloatArray) -> FloatArray:
        """The more history their model has, the more they say; where they see all that the fast detectors see, those
        fall silent as much. Parts are those of whoever is louder. Returns [n] their score before anything fades."""
        now = np.full(len(votes), np.nan)
        asked = np.flatnonzero(~np.isnan(known.near))
        if self.models is None or not len(asked):
            return now
        near, voice = known.near[asked], self.models.voice([hosts[i] for i in asked.tolist()])
        gap = np.nan_to_num(known.gap[asked])
        hush = 1.0 - voice * np.clip((gap - HIDES_MS) / (HIDES_NOTHING_MS - HIDES_MS), 0.0, 1.0)
        fast = votes[np.ix_(asked, FAST)]
        fast = 1.0 - (1.0 - np.minimum(fast, 1.0 - 1e-6)) ** hush[:, None]
        votes[np.ix_(asked, FAST)] = fast
        shown = neighbours.shown(near, known.fading[asked])
        votes[asked, NEIGHBOURS] = robust_z.score_of(voice * neighbours.scales(shown))
        now[asked] = robust_z.score_of(voice * neighbours.scales(near))
        louder = now[asked] >= np.fmax.reduce(fast, axis=1, initial=0.0)
        squares[asked[louder]] = known.parts[asked[louder]]
        return now

    def _hear_slow(self, known: Known, votes: FloatArray, squares: FloatArray) -> None:
        """What climbs and what stands still was measured as it came; few hosts do at any time."""
        votes[known.warm, TREND] = 0.0
        climbing = np.flatnonzero(known.climbing)
        votes[climbing, TREND] = known.climb[climbing].max(axis=1, initial=0.0)
        squares[np.ix_(climbing, self.metrics.fills)] += _as_squares(known.climb[climbing])
        votes[known.long, STUCK] = known.stuck[known.long].max(axis=1)
        stuck = np.flatnonzero(known.stuck.any(axis=1))
        squares[stuck] += _as_squares(known.stuck[stuck])


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
