"""Builders: the few things that many tests need, with defaults that do not matter to them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from monitor_core.frame import Frame, make_frame
from monitor_core.incidents import Evidence, Incident, Kind, Reason, Severity, State
from monitor_core.notifications import Event, Notification

T0 = 1_800_000_000_000 - 1_800_000_000_000 % 3_600_000


class FakeClock:
    """Time that only moves when told to."""

    def __init__(self, now_ms: int = T0) -> None:
        self.ms, self.seconds = now_ms, 1_000.0

    def now_ms(self) -> int:
        return self.ms

    def monotonic(self) -> float:
        return self.seconds

    def pass_seconds(self, seconds: float) -> None:
        self.ms += int(seconds * 1000)
        self.seconds += seconds


def one(host: str = "web-1", at: int = T0, cpu: float = 30.0, memory: float = 40.0, disk: float = 50.0) -> Frame:
    """One sample; disk I/O is missing."""
    return make_frame([at], [host], [[cpu, memory, disk, np.nan]])


def steady(
    hosts: Sequence[str] = ("web-1",),
    start: int = T0,
    n: int = 400,
    step: int = 3_000,
    seed: int = 0,
    level: float = 30,
) -> Frame:
    """n quiet ticks of all hosts around `level`, in order of time."""
    rng = np.random.default_rng(seed)
    values = np.round(np.clip(level + rng.normal(0, 1, (n * len(hosts), 4)), 0, 100), 1)
    times = np.repeat(start + np.arange(n) * step, len(hosts))
    return make_frame(times, list(hosts) * n, values)


def incident(**changes: object) -> Incident:
    """An open incident about CPU."""
    base: dict[str, object] = {
        "id": 7,
        "host": "web-3",
        "kind": Kind.ABNORMAL,
        "state": State.OPEN,
        "severity": Severity.CRITICAL,
        "reason": Reason.LIMIT_EXCEEDED,
        "opened_at": T0,
        "title": "CPU is at 92 %, over its limit of 85 %",
        "detail": "CPU 92 %, expected 20–40 %: 52 points above.",
        "score": 0.9,
        "peak_score": 0.9,
        "evidence": (
            Evidence("cpu", 92.3, 20.0, 40.0, 1.0, 85.0),
            Evidence("memory", 88.1, 30.0, 50.0, 0.0, 85.0),
            Evidence("disk", 95.6, None, None, 0.0, 90.0),
        ),
    }
    return Incident(**(base | changes))  # type: ignore[arg-type]  # a test's own words


def notification(number: int = 1, event: Event = Event.OPENED, **changes: object) -> Notification:
    """A message that is due."""
    own = incident(**changes)
    return Notification(number, f"{number}:{event}:slack", "slack", event, own, T0, T0)
