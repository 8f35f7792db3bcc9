"""Counterfactual: what the values would have to be for a sample to be normal, found on the real score.

A path leads from each observed value to what is expected, in whole percents. Every point of all paths is a row of one
frame that `Scorer.peek` scores as if the host's level were these values; nothing is learned. What is told is the
nearest point from which on everything up to the expected value is normal, by the rule that opens this host's incidents.
Where no metric helps alone, two move together along a line, then three, until all do.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import numpy as np

from monitor_core.detection.detectors.limits import HYSTERESIS
from monitor_core.detection.scorer import Scorer
from monitor_core.detection.unusual import Bar, is_unusual
from monitor_core.frame import BoolArray, FloatArray, Frame, make_frame
from monitor_core.incidents import Change, Way
from monitor_core.metrics import CATALOGUE, METRICS

STEPS = 64
NEWER_MS = 60_000  # a host that has shown a minute more has another baseline than the sample had
_LOW = np.array([metric.low for metric in CATALOGUE])

Normal = Callable[[FloatArray], BoolArray]


def ways_back(scorer: Scorer, frame: Frame, row: int, bar: Bar) -> tuple[Way, ...]:
    """Every way on which sample `row` would be normal, that of the largest contribution first; () when none is known.
    `bar`: its host's.

    The host's state in `scorer` is that of the sample or at most a minute newer.
    """
    host = frame.hosts[frame.code[row]]
    at, simulated = int(frame.time[row]), bool(frame.simulated[frame.code[row]])
    place = scorer.state.find(host)
    if place is None or scorer.state.last_time[place] - at > NEWER_MS:
        return ()
    rows = np.array([place])
    starts = np.stack([frame.values[row], scorer.state.level(rows)[0]])
    seen = scorer.peek(make_frame([at] * 2, [host] * 2, starts, simulated))
    unusual = is_unusual(seen, bar)
    if not unusual.any():
        return ()
    first = int(unusual.argmax())
    start, order = starts[first], np.argsort(-seen.contributions[first], kind="stable")
    goal = _goal(scorer.state.median[rows][0] if seen.warm[first] else _LOW, scorer.limits_of([host])[0])
    movable = [m for m in order.tolist() if not np.isnan(start[m] + goal[m]) and start[m] != goal[m]]

    def normal(table: FloatArray) -> BoolArray:
        scores = scorer.peek(make_frame([at] * len(table), [host] * len(table), table, simulated))
        return ~is_unusual(scores, bar)

    alone = _nearest(start, [_alone(start, goal, m) for m in movable], normal)
    if any(alone):
        return tuple(way for way in alone if way)
    for size in range(2, len(movable) + 1):
        together = _nearest(start, [_together(start, goal, some) for some in combinations(movable, size)], normal)
        if any(together):
            return (next(way for way in together if way),)
    return ()


def _goal(median: FloatArray, limits: FloatArray) -> FloatArray:
    """[m] the middle of what is expected, but below every limit: one that is exceeded ends a little below itself."""
    return np.fmin(median, limits - HYSTERESIS)


def _alone(start: FloatArray, goal: FloatArray, m: int) -> FloatArray:
    """[k, metrics] `start` with metric `m` at every whole percent on its way to the goal, the nearest first."""
    if goal[m] < start[m]:
        stops = np.arange(np.ceil(start[m]) - 1, np.floor(goal[m]) - 1, -1)
    else:
        stops = np.arange(np.floor(start[m]) + 1, np.ceil(goal[m]) + 1)
    path = np.tile(start, (len(stops), 1))
    path[:, m] = stops
    return path


def _together(start: FloatArray, goal: FloatArray, metrics: tuple[int, ...]) -> FloatArray:
    """[k, metrics] `start` with these metrics moving along a line, each at whole percents rounded toward its goal."""
    path = np.tile(start, (STEPS, 1))
    share = np.arange(1, STEPS + 1) / STEPS
    for m in metrics:
        exact = start[m] + share * (goal[m] - start[m])
        path[:, m] = np.floor(exact) if goal[m] < start[m] else np.ceil(exact)
    return path


def _nearest(start: FloatArray, paths: list[FloatArray], normal: Normal) -> list[Way]:
    """For each path the first point from which on all are normal, as changes of `start`; () where its end is not."""
    if not paths:
        return []
    verdicts = np.split(normal(np.concatenate(paths)), np.cumsum([len(path) for path in paths])[:-1])
    return [_way(start, path, good) for path, good in zip(paths, verdicts, strict=True)]


def _way(start: FloatArray, path: FloatArray, good: BoolArray) -> Way:
    if not len(good) or not good[-1]:
        return ()
    first = len(good) - int((~good)[::-1].argmax()) if not good.all() else 0
    point = path[first]
    return tuple(
        Change(METRICS[m], float(point[m]), bool(point[m] < start[m]))
        for m in np.flatnonzero((point != start) & ~np.isnan(start)).tolist()
    )
