"""The production scoring path behind `update(t, x)`, one host, any metrics: for benchmarks that stream series.

`Level(names, step)` answers with the score that is shown, `Alert(names, step)` with 1 where the product would
tell somebody, at a budget of one alert a day, else 0. `why` holds the metrics' parts of the last answer, in the order
of names.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from monitor_core.detection import alert_budget
from monitor_core.detection.alert_budget import Budget, BudgetState, Sample
from monitor_core.detection.detectors import neighbours
from monitor_core.detection.detectors.neighbours import HostModels
from monitor_core.detection.incident_policy import ESCALATED, OPENED, PolicyState, Rules, decide
from monitor_core.detection.minute_history import MinuteHistory
from monitor_core.detection.scorer import Scorer
from monitor_core.detection.votes import SLOW
from monitor_core.frame import BoolArray, FloatArray, Frame, IntArray
from monitor_core.metrics import BY_KEY, Metric, MetricTable
from monitor_core.scores import Scores

HOST = "host"
LEVELS_APART = 5


def known_metrics(names: Sequence[str]) -> MetricTable:
    """Those of the catalogue as they are there; of others no range is known."""
    return MetricTable([BY_KEY.get(name) or Metric(name, name, "", -np.inf, np.inf, None) for name in names])


class Level:
    """Raises nothing; a sample that is not newer than the last scores 0."""

    threshold = 0.75

    def __init__(self, names: Sequence[str], step: float) -> None:
        self._metrics = known_metrics(names)
        limits = {name: BY_KEY[name].limit for name in names if name in BY_KEY}
        self._scorer = Scorer(limits, None, int(LEVELS_APART * step * 1000), self._metrics)
        self._history = MinuteHistory()
        self._fitted_ms = 0
        self._began: int | None = None
        self.why, self.distance = np.zeros(len(self._metrics)), 0.0

    def update(self, t: float, x: Sequence[float]) -> float:
        """`t` s since 1970, `x` [m]."""
        time_ms, values = int(t * 1000), np.asarray(x, dtype=np.float64)
        self._learn(time_ms)
        frame = one(time_ms, values)
        scores = self._scorer.score(frame)
        self._history.take(frame)
        self.why, self.distance = scores.contributions[0], float(scores.distance[0])
        return self._answer(frame, scores)

    def _answer(self, frame: Frame, scores: Scores) -> float:
        return float(scores.score[0])

    def _learn(self, time_ms: int) -> None:
        self._began = time_ms if self._began is None else self._began
        if not neighbours.is_due(time_ms - self._began, self._fitted_ms):
            return
        time, means = self._history.of(HOST, time_ms)
        model = neighbours.fit(time, means, self._metrics, self._normal(time))
        if model is not None:
            self._fitted_ms = time_ms - self._began
            self._scorer.use(None, self._scorer.model_version + 1, HostModels([HOST], model))

    def _normal(self, time: IntArray) -> BoolArray | None:
        """Which minutes may be learned from; None: all."""
        return None


def one(time_ms: int, values: FloatArray) -> Frame:
    """A frame with this sample."""
    nothing = np.zeros(1, dtype=np.int32)
    return Frame(np.array([time_ms]), (HOST,), nothing, values[None, :], nothing.astype(np.bool_))


class Alert(Level):
    """What the policy opens: by the budget, a limit or the slow channel."""

    threshold = 0.5
    alerts_per_day = 1.0

    def __init__(self, names: Sequence[str], step: float) -> None:
        super().__init__(names, step)
        self._rules = Rules()
        self._policy, self._spending = PolicyState(), BudgetState()
        self._budget = Budget(alerts_per_day=self.alerts_per_day)
        self._row = self._policy.rows([HOST])
        self._spending.rows([HOST])

    def _answer(self, frame: Frame, scores: Scores) -> float:
        breach = scores.breach.any(axis=1)
        slow = np.fmax.reduce(scores.by_detector[:, SLOW], axis=1) >= self._rules.alarm_score
        sample = Sample(self._row, frame.time, scores.distance, slow | breach, np.ones(1, dtype=np.bool_))
        watched = alert_budget.watch(self._spending, self._budget, sample)
        unusual = slow | watched.over
        moves, _ = decide(self._policy, self._rules, self._row, frame.time, unusual, breach, watched.lasts)
        return float(any(move.move in {OPENED, ESCALATED} for move in moves))


class WeeklyAlert(Alert):
    """At the default budget."""

    alerts_per_day = 1 / 7
