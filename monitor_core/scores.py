"""Scores: how abnormal each sample of a frame is, which metrics made it so, and what was expected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt

from monitor_core.frame import BoolArray, FloatArray

LIMIT = "limits"
ROBUST_Z = "robust_z"
ISOLATION_FOREST = "isolation_forest"
TREND = "trend"
STUCK = "stuck"
NEIGHBOURS = "neighbours"
DETECTORS = (LIMIT, ROBUST_Z, ISOLATION_FOREST, TREND, STUCK, NEIGHBOURS)
IN_WORDS = {
    LIMIT: "over its limit",
    ROBUST_Z: "far from the last hour",
    ISOLATION_FOREST: "odd combination",
    TREND: "climbing",
    STUCK: "stuck",
    NEIGHBOURS: "unlike its own past",
}

_ARRAYS = (
    "score",
    "distance",
    "by_detector",
    "contributions",
    "expected_low",
    "expected_high",
    "slope",
    "same_ms",
    "breach",
    "anomaly",
    "warm",
)


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """Beside a frame of n samples and m metrics.

    `score` [n] 0..1, three decimals; `distance` [n] the same without limits and the slow channel, in scales and not
    rounded: the alert budget counts on it; `by_detector` [n, detectors] (NaN: did not speak); `contributions` [n, m]
    sum to 1 where the score is above 0; `expected_low/high` [n, m] (NaN in warm-up);
    `slope` [n, m, 3] points a minute at which a metric fills up (low end, slope, high end; NaN: it does not);
    `same_ms` [n, m] how long a metric that always moved has stood still (NaN: it moves);
    `breach` [n, m] a limit is exceeded;
    `anomaly` [n] bit per metric of a sample that counted toward an incident (0: none), set by the policy;
    `warm` [n] warm-up is over; `model_version` names the forest that spoke (0: none).
    """

    score: FloatArray
    distance: FloatArray
    by_detector: FloatArray
    contributions: FloatArray
    expected_low: FloatArray
    expected_high: FloatArray
    slope: FloatArray
    same_ms: FloatArray
    breach: BoolArray
    anomaly: npt.NDArray[np.uint8]
    warm: BoolArray
    model_version: int

    def __len__(self) -> int:
        return len(self.score)

    def take(self, rows: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> Scores:
        """The scores of the samples at `rows`."""
        return self._with({name: getattr(self, name)[rows] for name in _ARRAYS})

    def put(self, rows: npt.NDArray[np.int64], other: Scores) -> None:
        """Replace the scores of the samples at `rows`."""
        for name in _ARRAYS:
            getattr(self, name)[rows] = getattr(other, name)

    def _with(self, arrays: dict[str, npt.NDArray[np.generic]]) -> Scores:
        return Scores(**arrays, model_version=self.model_version)  # type: ignore[arg-type]  # one dict of mixed dtypes

    def to_bytes(self) -> bytes:
        """What a store keeps, for the journal: score, anomaly and (as float32) the expected range."""
        return msgspec.msgpack.encode(
            (
                self.model_version,
                len(self),
                np.ascontiguousarray(self.score, dtype="<f8").tobytes(),
                np.ascontiguousarray(self.anomaly, dtype="|u1").tobytes(),
                np.ascontiguousarray(self.expected_low, dtype="<f4").tobytes(),
                np.ascontiguousarray(self.expected_high, dtype="<f4").tobytes(),
            )
        )

    @staticmethod
    def from_bytes(blob: bytes) -> Scores:
        """Inverse of `to_bytes`; what it does not keep is empty."""
        version, n, score, anomaly, low, high = msgspec.msgpack.decode(
            blob, type=tuple[int, int, bytes, bytes, bytes, bytes]
        )
        expected = [np.frombuffer(raw, dtype="<f4").reshape(n, -1).astype(np.float64) for raw in (low, high)]
        scores = empty_scores(n, expected[0].shape[1], version)
        scores.score[:] = np.frombuffer(score, dtype="<f8")
        scores.anomaly[:] = np.frombuffer(anomaly, dtype="|u1")
        scores.expected_low[:], scores.expected_high[:] = expected
        return scores


def empty_scores(n: int, metrics: int, model_version: int = 0) -> Scores:
    """Scores of n samples about which nothing is known yet (writable arrays)."""
    return Scores(
        score=np.zeros(n),
        distance=np.zeros(n),
        by_detector=np.full((n, len(DETECTORS)), np.nan),
        contributions=np.zeros((n, metrics)),
        expected_low=np.full((n, metrics), np.nan),
        expected_high=np.full((n, metrics), np.nan),
        slope=np.full((n, metrics, 3), np.nan),
        same_ms=np.full((n, metrics), np.nan),
        breach=np.zeros((n, metrics), dtype=np.bool_),
        anomaly=np.zeros(n, dtype=np.uint8),
        warm=np.zeros(n, dtype=np.bool_),
        model_version=model_version,
    )


def concat_scores(parts: Sequence[Scores]) -> Scores:
    """One Scores with the rows of all, in order; it carries the newest model version among them."""
    if len(parts) == 1:
        return parts[0]
    arrays = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _ARRAYS}
    return parts[-1]._with(arrays)
