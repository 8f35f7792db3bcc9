"""Counters: what the process did, kept for the health page; the last minute of each in steps of one second."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Iterable

from monitor_core.service.clock import Clock

MINUTE = 60
REFUSED_KINDS = 200


class Gauge:
    """One number a second over the last minute: sums (rates) or the latest value."""

    def __init__(self, clock: Clock, *, adds: bool) -> None:
        self._clock, self._adds = clock, adds
        self._seconds: deque[tuple[int, float]] = deque(maxlen=MINUTE)
        self._lock = threading.Lock()

    def put(self, value: float) -> None:
        second = int(self._clock.monotonic())
        with self._lock:
            if self._seconds and self._seconds[-1][0] == second:
                before = self._seconds.pop()[1]
                value = before + value if self._adds else value
            self._seconds.append((second, value))

    def history(self) -> list[float]:
        """The last 60 seconds, oldest first; a second without news is 0 (sums) or the value before."""
        now = int(self._clock.monotonic())
        with self._lock:
            known = dict(self._seconds)
        out: list[float] = []
        last = 0.0
        for second in range(now - MINUTE, now):
            last = known.get(second, 0.0 if self._adds else last)
            out.append(round(last, 3))
        return out

    def latest(self) -> float:
        with self._lock:
            return self._seconds[-1][1] if self._seconds else 0.0


class Counters:
    """Counts since the start, and of today (UTC)."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._day = -1
        self.samples_today = 0
        self.kept_quiet_today = 0
        self.rejected_total = 0
        self.ignored_fields = 0
        self.refused: Counter[tuple[str, str]] = Counter()
        self.received = Gauge(clock, adds=True)
        self.commit_ms = Gauge(clock, adds=False)
        self.score_ms = Gauge(clock, adds=False)
        self.stored = Gauge(clock, adds=True)
        self.decided = Gauge(clock, adds=False)
        self.told = Gauge(clock, adds=True)
        self.last_tick_at: int | None = None

    def count_samples(self, n: int, of_today: int) -> None:
        """`n` came, `of_today` of them are about today."""
        with self._lock:
            self._turn_day()
            self.samples_today += of_today
        self.received.put(n)

    def count_quiet(self, n: int) -> None:
        with self._lock:
            self._turn_day()
            self.kept_quiet_today += n

    def refuse(self, reasons: Iterable[tuple[str, str]]) -> None:
        """(reason, host) of each refused sample."""
        with self._lock:
            for reason, host in reasons:
                self.rejected_total += 1
                if (reason, host) in self.refused or len(self.refused) < REFUSED_KINDS:
                    self.refused[reason, host] += 1

    def day_start(self) -> int:
        """Midnight UTC of today, ms."""
        return self._clock.now_ms() // 86_400_000 * 86_400_000

    def restore(self, saved: str | None) -> None:
        """Go on with today's counts after a restart; yesterday's are over."""
        day, samples, quiet = (int(part) for part in (saved or "-1 0 0").split())
        if day == self._clock.now_ms() // 86_400_000:
            self._day, self.samples_today, self.kept_quiet_today = day, samples, quiet

    def saved(self) -> str:
        with self._lock:
            self._turn_day()
            return f"{self._day} {self.samples_today} {self.kept_quiet_today}"

    def _turn_day(self) -> None:
        day = self._clock.now_ms() // 86_400_000
        if day != self._day:
            self._day, self.samples_today, self.kept_quiet_today = day, 0, 0
