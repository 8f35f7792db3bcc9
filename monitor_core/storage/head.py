"""Head: what was written to the store and is not in chunks yet, in memory as well as in the file."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt

from monitor_core.frame import FloatArray, IntArray
from monitor_core.metrics import METRICS
from monitor_core.storage.rollups import Raw

_M = len(METRICS)


@dataclass(frozen=True, slots=True, eq=False)
class HeadPart:
    """One written frame; `host` [n] are the store's own numbers of the hosts."""

    seq: int
    host: npt.NDArray[np.int32]
    raw: Raw

    def of(self, host: int) -> Raw:
        """This host's samples, in order of writing."""
        return self.raw.take(np.flatnonzero(self.host == host))

    def to_bytes(self) -> bytes:
        raw = self.raw
        return msgspec.msgpack.encode(
            (
                METRICS,
                self.host.astype("<i4").tobytes(),
                raw.time.astype("<i8").tobytes(),
                raw.values.astype("<f8").tobytes(),
                raw.score.astype("<f8").tobytes(),
                raw.anomaly.tobytes(),
                raw.low.astype("<f4").tobytes(),
                raw.high.astype("<f4").tobytes(),
            )
        )

    @staticmethod
    def from_bytes(seq: int, blob: bytes) -> HeadPart:
        metrics, host, time, values, score, anomaly, low, high = msgspec.msgpack.decode(
            blob, type=tuple[tuple[str, ...], bytes, bytes, bytes, bytes, bytes, bytes, bytes]
        )

        def table(raw: bytes, kind: str) -> FloatArray:
            found = np.frombuffer(raw, kind).reshape(-1, len(metrics)).astype(np.float64)
            out = np.full((len(found), _M), np.nan)
            for i, key in enumerate(metrics):
                if key in METRICS:
                    out[:, METRICS.index(key)] = found[:, i]
            return out

        raw = Raw(
            np.frombuffer(time, "<i8"),
            table(values, "<f8"),
            np.frombuffer(score, "<f8"),
            np.frombuffer(anomaly, np.uint8),
            table(low, "<f4"),
            table(high, "<f4"),
        )
        return HeadPart(seq, np.frombuffer(host, "<i4"), raw)


def split_hours(parts: list[HeadPart], hour_ms: int) -> list[tuple[int, int, Raw]]:
    """(host, hour, samples in order of writing) of every host-hour that the parts touch."""
    if not parts:
        return []
    host = np.concatenate([part.host for part in parts]).astype(np.int64)
    raw = Raw(*(np.concatenate([getattr(part.raw, name) for part in parts]) for name in Raw.__slots__))
    hour = raw.time // hour_ms
    order: IntArray = np.lexsort((np.arange(len(host)), hour, host))
    key = (host[order] << 32) | hour[order]
    first = np.flatnonzero(np.r_[True, key[1:] != key[:-1]])
    groups = np.split(order, first[1:])
    return [(int(host[rows[0]]), int(hour[rows[0]]), raw.take(rows)) for rows in groups]
