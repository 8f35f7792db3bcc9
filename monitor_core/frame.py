"""Frame: a batch of samples in columns, and what makes a sample invalid.

Everything from a single posted sample to a day of history travels as a frame, so that every stage works on arrays.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt

from monitor_core.metrics import CATALOGUE, METRICS

# a host called . or .. could be in no address of the API
HOST_PATTERN = re.compile(r"^(?!\.{1,2}$)[A-Za-z0-9._:-]{1,253}$")
DEFAULT_HOST = "default"
MAX_AHEAD_MS = 5 * 60_000
HISTORY_AGE_MS = 5 * 60_000

IntArray = npt.NDArray[np.int64]
CodeArray = npt.NDArray[np.int32]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why one sample of a body was refused: its place in the body, the field at fault and the reason in words."""

    index: int
    field: str
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """n samples: `time` int64 ms UTC [n], `code` [n] into `hosts`, `values` [n, metrics] with NaN = missing.

    `simulated` [hosts] says which hosts do not exist; `hosts` holds each name once.
    """

    time: IntArray
    hosts: tuple[str, ...]
    code: CodeArray
    values: FloatArray
    simulated: BoolArray

    def __len__(self) -> int:
        return len(self.time)

    def host_names(self) -> list[str]:
        """The host of every sample, in order."""
        return [self.hosts[i] for i in self.code.tolist()]

    def take(self, rows: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> Frame:
        """The samples at `rows` (mask or indices); the host table stays whole."""
        return Frame(self.time[rows], self.hosts, self.code[rows], self.values[rows], self.simulated)

    def to_bytes(self) -> bytes:
        """A self-describing blob; `from_bytes` gives the same values bit for bit."""
        return msgspec.msgpack.encode(
            (
                METRICS,
                self.hosts,
                np.ascontiguousarray(self.simulated).tobytes(),
                np.ascontiguousarray(self.time, dtype="<i8").tobytes(),
                np.ascontiguousarray(self.code, dtype="<i4").tobytes(),
                np.ascontiguousarray(self.values, dtype="<f8").tobytes(),
            )
        )

    @staticmethod
    def from_bytes(blob: bytes) -> Frame:
        """Inverse of `to_bytes`; metrics added to the catalogue since are NaN, removed ones are dropped."""
        metrics, hosts, simulated, time, code, values = msgspec.msgpack.decode(
            blob, type=tuple[tuple[str, ...], tuple[str, ...], bytes, bytes, bytes, bytes]
        )
        table = np.frombuffer(values, dtype="<f8").reshape(-1, len(metrics))
        return Frame(
            np.frombuffer(time, dtype="<i8"),
            hosts,
            np.frombuffer(code, dtype="<i4"),
            align_metrics(table, metrics),
            np.frombuffer(simulated, dtype=np.bool_),
        )


def align_metrics(table: FloatArray, metrics: Sequence[str]) -> FloatArray:
    """`table` [n, metrics] with its columns in the catalogue's order."""
    if tuple(metrics) == METRICS:
        return table
    aligned = np.full((len(table), len(METRICS)), np.nan)
    for column, key in enumerate(metrics):
        if key in METRICS:
            aligned[:, METRICS.index(key)] = table[:, column]
    return aligned


def make_frame(
    time: npt.ArrayLike,
    host_names: Sequence[str],
    values: npt.ArrayLike,
    simulated: bool | Sequence[bool] = False,
) -> Frame:
    """A frame from one host name per sample; `simulated` is one flag for all or one per sample."""
    hosts = tuple(dict.fromkeys(host_names))
    places = {name: i for i, name in enumerate(hosts)}
    flags = np.zeros(len(hosts), dtype=np.bool_)
    if isinstance(simulated, bool):
        flags[:] = simulated
    else:
        for name, flag in zip(host_names, simulated, strict=True):
            flags[places[name]] |= flag
    table = np.asarray(values, dtype=np.float64).reshape(-1, len(METRICS))
    code = np.fromiter((places[name] for name in host_names), dtype=np.int32, count=len(host_names))
    return Frame(np.asarray(time, dtype=np.int64).reshape(-1), hosts, code, table, flags)


def concat(frames: Sequence[Frame]) -> Frame:
    """One frame with the samples of all, in order."""
    if len(frames) == 1:
        return frames[0]
    hosts = tuple(dict.fromkeys(name for frame in frames for name in frame.hosts))
    places = {name: i for i, name in enumerate(hosts)}
    simulated = np.zeros(len(hosts), dtype=np.bool_)
    if all(len(frame) == 1 and len(frame.hosts) == 1 for frame in frames):
        # single posts that gathered: a step for all of them costs what one of them would
        code = np.array([places[frame.hosts[0]] for frame in frames], dtype=np.int32)
        np.logical_or.at(simulated, code, np.concatenate([frame.simulated for frame in frames]))
    else:
        codes = []
        for frame in frames:
            mapping = np.fromiter((places[name] for name in frame.hosts), dtype=np.int32, count=len(frame.hosts))
            simulated[mapping] |= frame.simulated
            codes.append(mapping[frame.code])
        code = np.concatenate(codes)
    return Frame(
        np.concatenate([frame.time for frame in frames]),
        hosts,
        code,
        np.concatenate([frame.values for frame in frames]),
        simulated,
    )


def rounds(codes: npt.NDArray[np.integer]) -> Iterator[IntArray]:
    """Row indices split so that no part holds a host twice and each host's rows keep their order.

    A tick of 1,000 hosts is one part; a day of history of six hosts is 28,800 parts of six rows.
    """
    order = np.argsort(codes, kind="stable")
    sorted_codes = codes[order]
    starts = np.flatnonzero(np.r_[True, sorted_codes[1:] != sorted_codes[:-1]]) if len(codes) else np.empty(0, int)
    rank = np.arange(len(codes)) - np.repeat(starts, np.diff(np.r_[starts, len(codes)]))
    by_rank = order[np.argsort(rank, kind="stable")]
    bounds = np.r_[0, np.cumsum(np.bincount(rank))] if len(codes) else np.zeros(1, int)
    for low, high in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        yield np.sort(by_rank[low:high]).astype(np.int64)


def last_of_each_instant(frame: Frame) -> IntArray:
    """Rows, ascending, without those that a later row of the same host and instant replaces."""
    order = np.lexsort((frame.time, frame.code))
    code, time = frame.code[order], frame.time[order]
    last = np.r_[(code[1:] != code[:-1]) | (time[1:] != time[:-1]), True][: len(order)]
    return np.sort(order[last])


_LOW = np.array([metric.low for metric in CATALOGUE])
_HIGH = np.array([metric.high for metric in CATALOGUE])


def invalid_cells(values: FloatArray) -> BoolArray:
    """Mask [n, metrics]: present but not a number inside the metric's range (infinities too)."""
    with np.errstate(invalid="ignore"):
        return (values < _LOW) | (values > _HIGH)
