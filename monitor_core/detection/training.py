"""Training: normal history → features → isolation forest (scikit-learn) → plain arrays. Runs in a background job."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from sklearn.ensemble import IsolationForest

from monitor_core.detection.detectors import isolation_forest, neighbours, robust_z
from monitor_core.detection.detectors.isolation_forest import Forest
from monitor_core.detection.detectors.neighbours import HostModels
from monitor_core.detection.features import FEATURES, features
from monitor_core.detection.host_state import HostState, level_before_of, level_of
from monitor_core.frame import BoolArray, FloatArray, Frame, IntArray, rounds
from monitor_core.metrics import MetricTable

TREES = 100
SEED = 42
MAX_ROWS = 60_000
TREES_AT_ONCE = 2
ROWS_AT_ONCE = 200
RARE_QUANTILE = 0.999

Spans = Mapping[str, Sequence[tuple[int, int]]]  # ms UTC, by host


class TooLittleHistory(Exception):
    """There is not enough normal history to learn from; the message says how much there is."""


def feature_table(
    parts: Iterable[tuple[Frame, BoolArray]], spacing_ms: int, pause: Callable[[], None] = lambda: None
) -> FloatArray:
    """[rows, features] of the samples marked normal, computed as scoring would have, sample by sample.

    `parts`: frames in order of time with a mask of their normal samples; abnormal ones move the state
    but are not kept.
    """
    state = HostState(spacing_ms)
    kept: list[FloatArray] = []
    for frame, normal in parts:
        rows = state.rows(frame.hosts)[frame.code]
        seen: list[tuple[FloatArray, IntArray, FloatArray, FloatArray]] = []
        for part in rounds(frame.code):
            row, at = rows[part], frame.time[part]
            newer = at > state.last_time[row]
            part, row, at = part[newer], row[newer], at[newer]  # noqa: PLW2901 - the same part without repeats
            state.push(row, at, frame.values[part])
            own = row[state.is_warm(row) & normal[part]]
            if len(own):
                seen.append((state.recent[own], state.recent_at[own], state.median[own], state.scale[own]))
            state.learn(row, at)
            pause()
        if seen:
            recent, recent_at, median, scale = (np.concatenate(column) for column in zip(*seen, strict=True))
            level = level_of(recent, recent_at)
            distance = robust_z.z(level, median, scale, state.metrics.high)
            kept.append(features(distance, level, level_before_of(recent, recent_at), scale))
    return np.concatenate(kept) if kept else np.zeros((0, len(FEATURES)))


def thin(table: FloatArray, most: int = MAX_ROWS) -> FloatArray:
    """At most `most` rows, evenly spread."""
    if len(table) <= most:
        return table
    return table[np.linspace(0, len(table) - 1, most).astype(np.int64)]


def fit(table: FloatArray, seed: int = SEED, pause: Callable[[], None] = lambda: None) -> Forest:
    """A forest of the rows given; the same rows and seed give the same forest, however often it paused."""
    model = IsolationForest(n_estimators=0, random_state=seed, warm_start=True)
    rows = table.astype(np.float32)
    for trees in range(TREES_AT_ONCE, TREES + 1, TREES_AT_ONCE):
        model.set_params(n_estimators=trees).fit(rows)
        pause()
    return flatten(model, table, pause)


def scored(
    score: Callable[[Forest, FloatArray], FloatArray], forest: Forest, table: FloatArray, pause: Callable[[], None]
) -> FloatArray:
    """[rows] what `score` makes of the table, a few rows at a time."""
    parts = []
    for first in range(0, len(table), ROWS_AT_ONCE):
        parts.append(score(forest, table[first : first + ROWS_AT_ONCE]))
        pause()
    return np.concatenate(parts) if parts else np.zeros(0)


def flatten(model: IsolationForest, table: FloatArray, pause: Callable[[], None] = lambda: None) -> Forest:
    """scikit-learn's trees as arrays, calibrated on `table`."""
    sizes = [estimator.tree_.node_count for estimator in model.estimators_]
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    trees = []
    for estimator, start in zip(model.estimators_, starts, strict=True):
        trees.append(_one_tree(estimator.tree_, int(start)))
        pause()
    feature, left, threshold, path = (np.concatenate(column) for column in zip(*trees, strict=True))
    forest = Forest(
        roots=starts.astype(np.int32),
        feature=feature,
        left=left,
        threshold=threshold,
        path=path,
        depth=max(estimator.tree_.max_depth for estimator in model.estimators_),
        normaliser=float(len(sizes) * _mean_path(np.array([model.max_samples_]))[0]),
        typical=0.0,
        rare=1.0,
    )
    raw = scored(isolation_forest.raw_scores, forest, table, pause)
    return _calibrated(forest, float(np.median(raw)), float(np.quantile(raw, RARE_QUANTILE)))


def _calibrated(forest: Forest, typical: float, rare: float) -> Forest:
    names = ("roots", "feature", "left", "threshold", "path", "depth", "normaliser")
    return Forest(**{name: getattr(forest, name) for name in names}, typical=typical, rare=rare)


def _one_tree(tree: object, start: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(feature, left, threshold, path) of one tree, breadth first with children side by side, shifted by `start`."""
    left, right = tree.children_left, tree.children_right  # type: ignore[attr-defined]  # scikit-learn has no types
    order, depth, at = [0], [0], 0
    place = np.zeros(len(left), dtype=np.int64)
    while at < len(order):
        node = order[at]
        place[node] = at
        if left[node] >= 0:
            order += [int(left[node]), int(right[node])]
            depth += [depth[at] + 1, depth[at] + 1]
        at += 1
    nodes = np.array(order)
    leaf = left[nodes] < 0
    samples = tree.n_node_samples[nodes]  # type: ignore[attr-defined]  # scikit-learn has no types
    here = np.arange(len(nodes))
    first = np.where(leaf, here, place[left[nodes]])
    return (
        np.where(leaf, 0, tree.feature[nodes]).astype(np.int32),  # type: ignore[attr-defined]  # as above
        (first + start).astype(np.int32),
        np.where(leaf, np.inf, tree.threshold[nodes]),  # type: ignore[attr-defined]  # as above
        np.where(leaf, np.array(depth) + _mean_path(samples), 0.0),
    )


def _mean_path(samples: np.ndarray) -> FloatArray:
    """c(n) of the paper: mean path length of an unsuccessful search in a binary search tree of n."""
    n = np.maximum(samples.astype(np.float64), 3)
    many = 2.0 * (np.log(n - 1.0) + np.euler_gamma) - 2.0 * (n - 1.0) / n
    return np.where(samples <= 1, 0.0, np.where(samples == 2, 1.0, many))


def host_models(
    minutes: Iterable[tuple[str, tuple[IntArray, FloatArray]]],
    spans: Spans,
    metrics: MetricTable,
    pause: Callable[[], None] = lambda: None,
) -> HostModels | None:
    """The neighbours' models of all hosts that have an hour of normal minutes: (host, (time [n], means [n, m])).

    `spans` (ms UTC, by host) is what nobody should take for normal. None: no host has enough.
    """
    hosts, models = [], []
    for host, (minute, means) in minutes:
        normal = np.ones(len(minute), dtype=np.bool_)
        for start, stop in spans.get(host, ()):
            normal &= (minute < start) | (minute > stop)
        model = neighbours.fit(minute, means, metrics, normal)
        if model is not None:
            hosts.append(host)
            models.append(model)
        pause()
    return HostModels(hosts, neighbours.stacked(models)) if models else None
