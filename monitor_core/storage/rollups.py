"""Rollups: minimum, mean, maximum, count and anomalies of every metric per bucket, from raw samples (pure).

A bucket is always computed from all raw samples of its hour, never from what was there before, so late, overwritten
and replayed samples give the same rollup as if they had come in time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from monitor_core.frame import FloatArray, IntArray
from monitor_core.storage.codec import (
    Packed,
    pack_arrays,
    pack_floats,
    pack_integers,
    unpack_arrays,
    unpack_floats,
    unpack_integers,
)

HOUR_MS = 3_600_000
_CHUNK = msgspec.msgpack.Decoder(tuple[int, tuple[int, bytes], list[Packed], tuple[int, bytes]])


@dataclass(frozen=True, slots=True, eq=False)
class Raw:
    """Samples of one host, ascending in time and each instant once. `low`, `high`: expected, NaN where not kept."""

    time: IntArray
    values: FloatArray
    score: FloatArray
    anomaly: npt.NDArray[np.uint8]
    low: FloatArray
    high: FloatArray

    def between(self, start: int, stop: int) -> Raw:
        """Samples in [start, stop)."""
        a, b = np.searchsorted(self.time, (start, stop))
        return self.take(np.arange(a, b))

    def take(self, rows: IntArray) -> Raw:
        return Raw(*(getattr(self, name)[rows] for name in self.__slots__))

    def to_bytes(self) -> bytes:
        """What a chunk keeps: all but the expected range."""
        columns = [self.values[:, m] for m in range(self.values.shape[1])]
        floats = [pack_floats(np.ascontiguousarray(column)) for column in (*columns, self.score)]
        bits = pack_integers(self.anomaly.astype(np.int64))
        return msgspec.msgpack.encode((len(self.time), pack_integers(self.time), floats, bits))

    @staticmethod
    def from_bytes(blob: bytes) -> Raw:
        n, time, floats, anomaly = _CHUNK.decode(blob)
        table = [unpack_floats(packed, n) for packed in floats]
        values = np.column_stack(table[:-1])
        nothing = np.full(values.shape, np.nan)
        bits = unpack_integers(anomaly).astype(np.uint8)
        return Raw(unpack_integers(time), values, table[-1], bits, nothing, nothing)


def merge(parts: list[Raw]) -> Raw:
    """One Raw of all parts, at least one of them with samples; of the same instant the later part wins."""
    parts = [part for part in parts if len(part.time)]
    if len(parts) == 1:
        only = parts[0]
        if (np.diff(only.time) > 0).all():
            return only
    joined = Raw(*(np.concatenate([getattr(part, name) for part in parts]) for name in Raw.__slots__))
    order = np.argsort(joined.time, kind="stable")
    times = joined.time[order]
    last = np.append(times[1:] != times[:-1], True)
    return joined.take(order[last])


@dataclass(frozen=True, slots=True, eq=False)
class Rollup:
    """Buckets of one host, ascending: `start` [b] ms; the others [b, m] but `score` [b], the highest."""

    start: IntArray
    minimum: FloatArray
    mean: FloatArray
    maximum: FloatArray
    count: IntArray
    anomalies: IntArray
    low: FloatArray
    high: FloatArray
    score: FloatArray

    def take(self, rows: npt.NDArray[np.bool_] | IntArray) -> Rollup:
        return Rollup(*(getattr(self, name)[rows] for name in self.__slots__))

    def to_bytes(self) -> bytes:
        arrays = {name: getattr(self, name) for name in self.__slots__}
        kinds = {"start": "<i8", "count": "<u4", "anomalies": "<u4"}
        return pack_arrays({name: array.astype(kinds.get(name, "<f4")) for name, array in arrays.items()})

    @staticmethod
    def from_bytes(blob: bytes) -> Rollup:
        arrays = unpack_arrays(blob)
        kinds = {"start": np.int64, "count": np.int64, "anomalies": np.int64}
        columns: list[Any] = [arrays[name].astype(kinds.get(name, np.float64)) for name in Rollup.__slots__]
        return Rollup(*columns)


def roll_up(raw: Raw, width_ms: int) -> Rollup:
    """Buckets of `width_ms`, aligned to the epoch, that have samples."""
    bucket = raw.time // width_ms
    first = np.flatnonzero(np.r_[True, bucket[1:] != bucket[:-1]]) if len(bucket) else np.zeros(0, np.int64)
    m = raw.values.shape[1]
    bits = (raw.anomaly[:, None] >> np.arange(m)) & 1
    there = ~np.isnan(raw.values)
    if not len(first):
        return empty(m)
    count = np.add.reduceat(there.astype(np.int64), first)
    total = np.add.reduceat(np.where(there, raw.values, 0.0), first)
    return Rollup(
        start=bucket[first] * width_ms,
        minimum=np.fmin.reduceat(raw.values, first),
        mean=_divide(total, count),
        maximum=np.fmax.reduceat(raw.values, first),
        count=count,
        anomalies=np.add.reduceat(bits.astype(np.int64), first),
        low=_mean_of(raw.low, first),
        high=_mean_of(raw.high, first),
        score=np.maximum.reduceat(raw.score, first),
    )


def empty(m: int) -> Rollup:
    none, numbers = np.zeros(0, np.int64), np.zeros((0, m))
    whole = np.zeros((0, m), np.int64)
    return Rollup(none, numbers, numbers, numbers, whole, whole, numbers, numbers, np.zeros(0))


def replace_buckets(old: Rollup, new: Rollup) -> Rollup:
    """`new` buckets in place of the old ones of the same start; an expected range that only the old one has stays."""
    if not len(old.start):
        return new
    low, high = new.low.copy(), new.high.copy()
    place = np.searchsorted(old.start, new.start).clip(0, len(old.start) - 1)
    same = old.start[place] == new.start
    for mine, theirs in ((low, old.low), (high, old.high)):
        mine[same] = np.where(np.isnan(mine[same]), theirs[place[same]], mine[same])
    fresh = Rollup(new.start, new.minimum, new.mean, new.maximum, new.count, new.anomalies, low, high, new.score)
    return concat([old.take(~np.isin(old.start, new.start)), fresh])


def concat(parts: list[Rollup]) -> Rollup:
    """One Rollup with the buckets of all, ascending."""
    joined = Rollup(*(np.concatenate([getattr(part, name) for part in parts]) for name in Rollup.__slots__))
    return joined.take(np.argsort(joined.start, kind="stable"))


def combine(fine: Rollup, width_ms: int) -> Rollup:
    """Wider buckets out of finer ones (also of two that begin alike)."""
    bucket = fine.start // width_ms
    if not len(bucket):
        return fine
    first = np.flatnonzero(np.r_[True, bucket[1:] != bucket[:-1]])
    count = np.add.reduceat(fine.count, first)
    total = np.add.reduceat(np.nan_to_num(fine.mean) * fine.count, first)
    return Rollup(
        start=bucket[first] * width_ms,
        minimum=np.fmin.reduceat(fine.minimum, first),
        mean=_divide(total, count),
        maximum=np.fmax.reduceat(fine.maximum, first),
        count=count,
        anomalies=np.add.reduceat(fine.anomalies, first),
        low=_mean_of(fine.low, first),
        high=_mean_of(fine.high, first),
        score=np.maximum.reduceat(fine.score, first),
    )


def _mean_of(column: FloatArray, first: IntArray) -> FloatArray:
    there = ~np.isnan(column)
    return _divide(np.add.reduceat(np.where(there, column, 0.0), first), np.add.reduceat(there.astype(np.int64), first))


def _divide(total: FloatArray, count: IntArray) -> FloatArray:
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
