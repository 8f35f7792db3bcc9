"""The production scoring path behind `update(t, x)`, one host, any metrics: for benchmarks that stream series.

`Level(names, step)` answers with the distance that ranks samples, `Alert(names, step)` with 1 where the product would
tell somebody, at a budget of one alert a day, else 0. `why` holds the metrics' parts of the last answer, in the order
of names.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from monitor_core.detection.detectors import neighbours
from monitor_core.detection.detectors.neighbours import HostModels
from monitor_core.detection.multiscale import BUCKET_MS
from monitor_core.detection.scorer import Scorer
from monitor_core.frame import FloatArray, Frame
from monitor_core.metrics import BY_KEY, Metric, MetricTable
from monitor_core.scores import Scores

HOST = "host"
LEVELS_APART = 5


def known_metrics(names: Sequence[str]) -> MetricTable:
    """Those of the catalogue as they are there; of others no range is known."""
    return MetricTable([BY_KEY.get(name) or Metric(name, name, "", -np.inf, np.inf, None) for name in names])


class Buckets:
    """A host's history in buckets, as a store's minutes would give it."""

    def __init__(self, metrics: int) -> None:
        self._times: list[int] = []
        self._means = np.empty((1024, metrics))
        self._open, self._sum, self._count = -1, np.zeros(metrics), np.zeros(metrics)

    def add(self, time_ms: int, values: FloatArray) -> None:
        place = time_ms // BUCKET_MS
        if place != self._open:
            self._close()
            self._open = place
        there = ~np.isnan(values)
        self._sum += np.where(there, values, 0.0)
        self._count += there

    def table(self) -> tuple[np.ndarray, FloatArray]:
        """The buckets that are over."""
        n = len(self._times)
        return np.array(self._times, dtype=np.int64), self._means[:n]

    def _close(self) -> None:
        if self._open < 0:
            return
        n = len(self._times)
        if n == len(self._means):
            self._means = np.concatenate([self._means, np.empty_like(self._means)])
        with np.errstate(invalid="ignore"):
            self._means[n] = self._sum / self._count
        self._times.append(self._open * BUCKET_MS)
        self._sum[:], self._count[:] = 0.0, 0.0


class Level:
    """Raises nothing; a sample that is not newer than the last scores 0."""

    threshold = 4.0

    def __init__(self, names: Sequence[str], step: float) -> None:
        self._metrics = known_metrics(names)
        limits = {name: BY_KEY[name].limit for name in names if name in BY_KEY}
        self._scorer = Scorer(limits, None, int(LEVELS_APART * step * 1000), self._metrics)
        self._buckets = Buckets(len(self._metrics))
        self._fitted_ms = 0
        self._began: int | None = None
        self.why = np.zeros(len(self._metrics))

    def update(self, t: float, x: Sequence[float]) -> float:
        """`t` s since 1970, `x` [m]."""
        time_ms, values = int(t * 1000), np.asarray(x, dtype=np.float64)
        self._learn(time_ms)
        scores = self._scorer.score(one(time_ms, values))
        self._buckets.add(time_ms, values)
        self.why = scores.contributions[0]
        return self._answer(time_ms, scores)

    def _answer(self, time_ms: int, scores: Scores) -> float:
        return float(scores.distance[0])

    def _learn(self, time_ms: int) -> None:
        self._began = time_ms if self._began is None else self._began
        if not neighbours.is_due(time_ms - self._began, self._fitted_ms):
            return
        time, means = self._buckets.table()
        model = neighbours.fit(time, means, self._metrics)
        if model is not None:
            self._fitted_ms = time_ms - self._began
            self._scorer.use(None, self._scorer.model_version + 1, HostModels([HOST], model))


def one(time_ms: int, values: FloatArray) -> Frame:
    """A frame with this sample."""
    nothing = np.zeros(1, dtype=np.int32)
    return Frame(np.array([time_ms]), (HOST,), nothing, values[None, :], nothing.astype(np.bool_))
