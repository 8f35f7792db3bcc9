"""Neighbours: how far what a host does now is from the nearest things that it ever did, on the features of
`multiscale.py` (k nearest neighbours; Ramaswamy, Rastogi, Shim 2000).

Catches: whatever this host has not done before, in one metric or in several together, at this time of day. Misses: what
was common in its history, slow leaks, stuck sensors. Needs: an hour of buckets, and a model version with this host in
it; a week until it speaks at its full weight.

A host's model is up to 800 rows of its last 21 days, evenly spaced, each feature in units of its own spread. For each
metric two distances count, squared: to the five rows that are nearest in all metrics together, and to the five that are
nearest in this metric alone. The distance is the root of their sum, in which the largest counts whole and each further
one less. Two buckets make a level; what is shown of it fades slowly, what decides does not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np

from monitor_core.detection.multiscale import BLOCKS, DAY_MS, Float32Array, blocks, usual_at, usual_day, windows
from monitor_core.frame import BoolArray, FloatArray, IntArray
from monitor_core.metrics import MetricTable

ROWS = 800
NEAREST = 5
LESS = 0.87  # each metric counts so much less than the next larger one
FARTHEST = 12.0
HISTORY_MS = 21 * DAY_MS
FEWEST_BUCKETS = 60
FIRST_MS, FULL_VOICE_MS = DAY_MS // 24, 7 * DAY_MS  # before it nobody has seen all days of a week
FLOOR, FLOOR_OF_SEEN = 0.01, 0.001  # of the full scale; of the range seen
LATELY, HARMLESS = 3, 0.04  # buckets; of the full scale: who is nearer to the expected than this is heard less
FADES, NOW = 0.97, 0.4  # of what fades, a bucket; how much of what is shown is the level now
# A level of e^2.03 = 7.6 came about once a week on hosts nothing was tuned on; there it counts 4 scales, as a z would.
WEEKLY, SCALES_PER_E = 2.03, 3.2


@dataclass(frozen=True, slots=True, eq=False)
class Neighbours:
    """Models of H hosts with m metrics: `rows` [H, m, 8, R] standardised features and their squared `norm` [H, m, R]
    (inf: no such row), `value` [H, R, m] what the metrics showed in those rows, `mean` and `spread` [H, m, 8],
    `usual` [H, 48, m] (NaN: not known), `scale` [H, m] full scale, `lasted_ms` [H] how long a history it is."""

    rows: Float32Array
    norm: Float32Array
    value: Float32Array
    mean: FloatArray
    spread: FloatArray
    usual: FloatArray
    scale: FloatArray
    lasted_ms: IntArray

    def __len__(self) -> int:
        return len(self.lasted_ms)


@dataclass(frozen=True, slots=True, eq=False)
class Near:
    """`distance` [n] before it is calmed, `parts` [n, m] of its square."""

    distance: FloatArray
    parts: FloatArray


def silent(n: int, metrics: int) -> Near:
    """Nothing is said about n buckets."""
    return Near(np.full(n, np.nan), np.zeros((n, metrics)))


class HostModels:
    """The models of a version, by name of host."""

    def __init__(self, hosts: Sequence[str], model: Neighbours) -> None:
        self.hosts, self.model = tuple(hosts), model
        self._places = {host: place for place, host in enumerate(hosts)}
        self._voices = np.append(voice(model.lasted_ms), 0.0)

    def arrays(self) -> dict[str, np.ndarray]:
        """For the registry."""
        own = {field.name: getattr(self.model, field.name) for field in fields(Neighbours)}
        return own | {"hosts": np.array(self.hosts, dtype=np.str_)}

    @staticmethod
    def from_arrays(arrays: Mapping[str, np.ndarray], metrics: int) -> HostModels:
        """Inverse of `arrays`. Raises ValueError when they are not those of so many metrics."""
        missing = [field.name for field in fields(Neighbours) if field.name not in arrays]
        if missing or "hosts" not in arrays:
            raise ValueError("the neighbours' arrays are not complete")
        model = Neighbours(**{field.name: arrays[field.name] for field in fields(Neighbours)})
        if model.rows.shape[:3] != (len(arrays["hosts"]), metrics, BLOCKS) or len(model) != len(arrays["hosts"]):
            raise ValueError("the neighbours' arrays are of another shape")
        return HostModels([str(host) for host in arrays["hosts"]], model)

    def places(self, hosts: Sequence[str]) -> IntArray:
        """[n] which model is each host's; -1: none."""
        return np.fromiter((self._places.get(host, -1) for host in hosts), dtype=np.int64, count=len(hosts))

    def voice(self, hosts: Sequence[str]) -> FloatArray:
        """[n] how much of a say each host's model has."""
        found: FloatArray = self._voices[self.places(hosts)]
        return found


def fit(time: IntArray, values: FloatArray, metrics: MetricTable, normal: BoolArray | None = None) -> Neighbours | None:
    """The model of one host from its buckets: `time` [n] ms UTC ascending, `values` [n, m] (NaN: missing).

    `normal` [n]: buckets that may be among its rows; None: all. Returns None when there are fewer than 60 of them.
    """
    kept = time > time[-1] - HISTORY_MS if len(time) else np.zeros(0, dtype=np.bool_)
    time, values = time[kept], values[kept]
    allowed = np.flatnonzero(normal[kept]) if normal is not None else np.arange(len(time))
    if len(allowed) < FEWEST_BUCKETS:
        return None
    chosen = allowed[np.unique(np.linspace(0, len(allowed) - 1, ROWS).astype(np.int64))]
    usual = usual_day(time, values)
    there = np.repeat(usual[None], len(chosen), axis=0)
    table = blocks(np.nan_to_num(windows(values, chosen)), usual_at(there, time[chosen]))
    low, high = np.fmin.reduce(values, axis=0), np.fmax.reduce(values, axis=0)
    scale = np.nan_to_num(metrics.scale(low, high))
    floor = np.maximum(FLOOR * scale, np.nan_to_num(FLOOR_OF_SEEN * (high - low)))
    mean = table.mean(axis=0)
    spread = np.maximum(table.std(axis=0), np.maximum(floor, 1e-9)[:, None])
    rows = np.zeros((1, values.shape[1], BLOCKS, ROWS), dtype=np.float32)
    rows[0, :, :, : len(chosen)] = np.moveaxis(_standardised(table, mean, spread), 0, 2)
    norm = np.full((1, values.shape[1], ROWS), np.inf, dtype=np.float32)
    norm[0, :, : len(chosen)] = (rows[0, :, :, : len(chosen)] ** 2).sum(axis=1)
    value = np.full((1, ROWS, values.shape[1]), np.nan, dtype=np.float32)
    value[0, : len(chosen)] = values[chosen]
    lasted = np.array([time[-1] - time[0]], dtype=np.int64)
    return Neighbours(rows, norm, value, mean[None], spread[None], usual[None], scale[None], lasted)


def stacked(models: list[Neighbours]) -> Neighbours:
    """One for all their hosts, in order."""
    return Neighbours(
        **{f.name: np.concatenate([getattr(model, f.name) for model in models]) for f in fields(Neighbours)}
    )


def near(model: Neighbours, places: IntArray, window: Float32Array, missing: BoolArray, time: IntArray) -> Near:
    """Ask the model of host `places[i]` about `window[i]` [n, m, 121], whose newest bucket ended at `time[i]`.

    A metric that is `missing` [n, m] is as it should be.
    """
    table = blocks(np.nan_to_num(window), usual_at(model.usual[places], time))
    asked = _standardised(table, model.mean[places], model.spread[places]).astype(np.float32)
    apart = _squared(model, places, asked)
    apart = np.where(missing[:, :, None] & np.isfinite(apart), np.float32(0.0), apart)
    nearest = np.argpartition(apart.sum(axis=1), NEAREST, axis=1)[:, :NEAREST]
    together = np.take_along_axis(apart, nearest[:, None, :], axis=2).mean(axis=2)
    alone = np.partition(apart, NEAREST, axis=2)[:, :, :NEAREST].mean(axis=2)
    parts = (together + alone).astype(np.float64)
    distance = np.sqrt(np.sort(parts, axis=1)[:, ::-1] @ LESS ** np.arange(parts.shape[1]))
    shown = np.take_along_axis(model.value[places], nearest[:, :, None], axis=1)
    count = (~np.isnan(shown)).sum(axis=1)
    expected = np.where(count > 0, np.nan_to_num(shown).sum(axis=1) / np.maximum(count, 1), np.nan)
    off = np.abs(window[:, :, -LATELY:].mean(axis=2) - expected) * ~missing
    noticed = np.nan_to_num(off / np.maximum(HARMLESS * model.scale[places], 1e-9)).max(axis=1)
    return Near(distance * np.minimum(noticed, 1.0), parts)


def calmed(now: FloatArray, before: FloatArray, fading: FloatArray) -> tuple[FloatArray, FloatArray]:
    """[n] level, the mean of `now` and the distance `before` (NaN: none), and what fades of the highest."""
    level = (now + np.where(np.isnan(before), now, before)) / 2
    return level, np.fmax(level, fading * FADES)


def shown(level: FloatArray, fading: FloatArray) -> FloatArray:
    """[n] the level with what fades: who was far out a few minutes ago still stands out."""
    return NOW * level + (1 - NOW) * fading


def scales(level: FloatArray) -> FloatArray:
    """[n] the level as a distance in scales, 4 where it comes about once a week."""
    return np.maximum(4.0 + SCALES_PER_E * (np.log(np.maximum(level, 1e-3)) - WEEKLY), 0.0)


def voice(lasted_ms: IntArray) -> FloatArray:
    """[n] 0..1: how much of a say it has after so long a history."""
    return np.clip(lasted_ms / FULL_VOICE_MS, 0.0, 1.0)


def is_due(lasted_ms: int, fitted_ms: int) -> bool:
    """Is it time for a new model, when a host's history lasted so long, and `fitted_ms` when its last one was made (0:
    none)? After an hour, then whenever the history has doubled, then daily."""
    return lasted_ms >= FIRST_MS and lasted_ms >= min(2 * fitted_ms, fitted_ms + DAY_MS)


def _standardised(table: FloatArray, mean: FloatArray, spread: FloatArray) -> FloatArray:
    return FARTHEST * np.tanh((table - mean) / spread / FARTHEST)


def _squared(model: Neighbours, places: IntArray, asked: Float32Array) -> Float32Array:
    """[n, m, R] squared distance of each metric to each row."""
    product = np.matmul(asked[:, :, None, :], model.rows[places])[:, :, 0, :]
    own = (asked**2).sum(axis=2)[:, :, None]
    return np.maximum(own - 2.0 * product + model.norm[places], 0.0)
