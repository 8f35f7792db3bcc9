"""TimeSeriesStore: what every time-series database behind the product must do, and the shapes it answers in.

The contract is tests/contracts/test_timeseries_store.py; every store passes it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from monitor_core.frame import FloatArray, Frame, IntArray
from monitor_core.scores import Scores


class StoreUnavailable(Exception):
    """The store cannot take or answer now; the message says why. Nothing was lost: ask again later.

    `retry_after_seconds` is what the store asked for; `needs_operator`: it will not get better by itself (a token, a
    bucket).
    """

    def __init__(self, reason: str, *, retry_after_seconds: float | None = None, needs_operator: bool = False) -> None:
        super().__init__(reason)
        self.retry_after_seconds, self.needs_operator = retry_after_seconds, needs_operator


class Tier(StrEnum):
    """How finely a stretch of time is kept; journal: what is not in the store yet, or while it is away."""

    RAW = "raw"
    MINUTE = "minute"
    HALF_HOUR = "half_hour"
    JOURNAL = "journal"


TIER_MS = {Tier.MINUTE: 60_000, Tier.HALF_HOUR: 1_800_000}


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """One host over time in b buckets (or raw samples: then minimum, mean and maximum are the same array).

    `time` [b] bucket starts, ms UTC, ascending; buckets without samples are left out. `minimum/mean/maximum`,
    `expected_low/high` [b, metrics] (NaN: none), `count` [b, metrics] samples, `anomalies` [b, metrics],
    `score` [b] the highest. `tier` is where it was read, `bucket_ms` the width (0: raw samples).
    """

    host: str
    time: IntArray
    minimum: FloatArray
    mean: FloatArray
    maximum: FloatArray
    count: IntArray
    anomalies: IntArray
    expected_low: FloatArray
    expected_high: FloatArray
    score: FloatArray
    tier: Tier
    bucket_ms: int


@dataclass(frozen=True, slots=True)
class Anomaly:
    """One sample that counted toward an incident, kept for a year."""

    host: str
    time: int
    values: tuple[float | None, ...]
    score: float
    reason: str
    incident_id: int | None
    contributions: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class RefusedSample:
    """One sample that the store will never take, as it was sent, and why."""

    sample: str
    reason: str


@dataclass(frozen=True, slots=True)
class Kept:
    """One line of what a store keeps: rows (buckets or samples), bytes on disk, for how long (None: for ever).

    Rows and bytes are None where a store cannot say.
    """

    name: str
    rows: int | None
    bytes: int | None
    retention_days: float | None
    oldest: int | None = None


@dataclass(frozen=True, slots=True)
class StoreHealth:
    """Is it reachable, what does it call itself, what does it keep, and why not if not. `notices`: what an operator
    should know though nothing is broken."""

    reachable: bool
    name: str
    error: str | None = None
    kept: tuple[Kept, ...] = field(default=())
    notices: tuple[str, ...] = ()


class TimeSeriesStore(Protocol):
    """Times are ms UTC, ranges half-open [start, stop). Calls may come from any thread; one thread writes."""

    def write(self, frame: Frame, scores: Scores) -> Sequence[RefusedSample]:
        """Durable on return but for those returned; the same (host, time) again overwrites. Raises StoreUnavailable."""

    def write_anomalies(self, anomalies: Sequence[Anomaly]) -> Sequence[RefusedSample]:
        """Durable on return but for those returned; the same (host, time) again overwrites."""

    def series(self, host: str, start: int, stop: int, max_points: int) -> Series:
        """At most `max_points` buckets from the finest tier that reaches back to `start`; an unknown host is empty."""

    def fleet(self, start: int, stop: int, max_points: int) -> tuple[IntArray, FloatArray]:
        """(time [b], values [b, metrics, 3]): 5 %, 50 % and 95 % of the hosts' bucket means."""

    def latest(self, since: int) -> Frame:
        """The newest sample of every host at or after `since`."""

    def scan(self, start: int, stop: int, hosts: Sequence[str] | None = None) -> Iterator[tuple[Frame, Scores]]:
        """Raw samples in parts of bounded size, each host's samples in order of time (for training and export).

        Of the scores, `score` and `anomaly` are kept; the rest is empty.
        """

    def anomalies(self, start: int, stop: int, host: str | None = None, limit: int = 10_000) -> list[Anomaly]:
        """Newest first."""

    def forget(self, host: str) -> None:
        """Remove everything about one host."""

    def maintain(self, now: int) -> None:
        """Compact, roll up and expire; called regularly by the service, bounded in time."""

    def health(self) -> StoreHealth: ...

    def close(self) -> None: ...
