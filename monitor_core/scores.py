"""Scores: how abnormal each sample of a frame is, which metrics made it so, and what was expected."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt

from monitor_core.frame import BoolArray, FloatArray

LIMIT = "limits"
ROBUST_Z = "robust_z"
ISOLATION_FOREST = "isolation_forest"
DETECTORS = (LIMIT, ROBUST_Z, ISOLATION_FOREST)

_DTYPES = {
    "score": "<f8",
    "by_detector": "<f8",
    "contributions": "<f8",
    "expected_low": "<f8",
    "expected_high": "<f8",
    "breach": "?",
    "anomaly": "|u1",
    "warm": "?",
}


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """Beside a frame of n samples and m metrics.

    `score` [n] 0..1, three decimals; `by_detector` [n, detectors] (NaN: did not speak); `contributions` [n, m] sum to 1
    where the score is above 0; `expected_low/high` [n, m] (NaN in warm-up); `breach` [n, m] a limit is exceeded;
    `anomaly` [n] bit per metric of a sample that counted toward an incident (0: none), set by the policy;
    `warm` [n] warm-up is over; `model_version` names the forest that spoke (0: none).
    """

    score: FloatArray
    by_detector: FloatArray
    contributions: FloatArray
    expected_low: FloatArray
    expected_high: FloatArray
    breach: BoolArray
    anomaly: npt.NDArray[np.uint8]
    warm: BoolArray
    model_version: int

    def __len__(self) -> int:
        return len(self.score)

    def take(self, rows: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> Scores:
        """The scores of the samples at `rows`."""
        arrays = {name: getattr(self, name)[rows] for name in _DTYPES}
        return Scores(**arrays, model_version=self.model_version)

    def to_bytes(self) -> bytes:
        """A blob for the journal; `from_bytes` gives the same values bit for bit."""
        arrays = [np.ascontiguousarray(getattr(self, name), dtype=kind).tobytes() for name, kind in _DTYPES.items()]
        return msgspec.msgpack.encode((self.model_version, len(self), arrays))

    @staticmethod
    def from_bytes(blob: bytes) -> Scores:
        """Inverse of `to_bytes`."""
        version, n, arrays = msgspec.msgpack.decode(blob, type=tuple[int, int, list[bytes]])
        read = {}
        for (name, kind), raw in zip(_DTYPES.items(), arrays, strict=True):
            flat = np.frombuffer(raw, dtype=kind)
            wide = name in ("by_detector", "contributions", "expected_low", "expected_high", "breach")
            read[name] = flat.reshape(n, -1) if wide else flat
        return Scores(**read, model_version=version)


def empty_scores(n: int, metrics: int, model_version: int = 0) -> Scores:
    """Scores of n samples about which nothing is known yet (writable arrays)."""
    return Scores(
        score=np.zeros(n),
        by_detector=np.full((n, len(DETECTORS)), np.nan),
        contributions=np.zeros((n, metrics)),
        expected_low=np.full((n, metrics), np.nan),
        expected_high=np.full((n, metrics), np.nan),
        breach=np.zeros((n, metrics), dtype=np.bool_),
        anomaly=np.zeros(n, dtype=np.uint8),
        warm=np.zeros(n, dtype=np.bool_),
        model_version=model_version,
    )


