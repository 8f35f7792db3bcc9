"""Recent: the last minutes of hosts that are asked about, in memory, so that the store is not asked again and again.

A host is followed from its first question on: beside what the store has of it comes every sample that is scored from
then on. Memory answers only for a stretch of which it has all that the store has or is about to get.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field

import numpy as np

from monitor_core.frame import FloatArray, Frame, IntArray
from monitor_core.metrics import METRICS
from monitor_core.service.clock import Clock

log = logging.getLogger("monitor.recent")

RECENT_MS = 15 * 60_000
MOST_SAMPLES = 1_000_000  # of all hosts, 40 MB
FIRST_TRUST_SECONDS, MOST_TRUST_SECONDS = 15.0, 300.0
SMALLEST = 64
Samples = tuple[IntArray, FloatArray]


def _no_samples() -> Samples:
    return np.zeros(0, np.int64), np.zeros((0, len(METRICS)))


@dataclass(slots=True, eq=False)
class Followed:
    """One host: the first `n` rows of `time` and `values`, ascending, hold every sample in [start, stop) and every one
    that was scored behind position `after`. `trusted_until` (monotonic): when to compare with the store again."""

    after: int
    asked_at: float
    time: IntArray = field(default_factory=lambda: _no_samples()[0])
    values: FloatArray = field(default_factory=lambda: _no_samples()[1])
    n: int = 0
    start: int = 0
    stop: int = 0
    trusted_until: float = 0.0
    trust_seconds: float = FIRST_TRUST_SECONDS

    def samples(self) -> Samples:
        return self.time[: self.n], self.values[: self.n]

    def hold(self, samples: Samples, room: int = 0) -> None:
        """These and no others, with room for more behind them."""
        n = len(samples[0])
        self.time, self.values, self.n = np.empty(n + room, np.int64), np.empty((n + room, len(METRICS))), n
        self.time[:n], self.values[:n] = samples

    def let_go(self, before: int) -> None:
        """Nothing older than that is known any more."""
        self.start = max(self.start, before)
        first = int(np.searchsorted(self.time[: self.n], self.start))
        kept = self.n - first
        self.time[:kept], self.values[:kept] = self.time[first : self.n].copy(), self.values[first : self.n].copy()
        self.n = kept

    def append(self, samples: Samples) -> bool:
        """False: they are not all newer than what is here, or there is no room."""
        (time, values), end = samples, self.n + len(samples[0])
        is_newer = self.n == 0 or time[0] > self.time[self.n - 1]
        if end > len(self.time) or not is_newer or (len(time) > 1 and (np.diff(time) <= 0).any()):
            return False
        self.time[self.n : end], self.values[self.n : end], self.n = time, values, end
        return True


class Recent:
    """Samples come from the scoring thread, questions from any."""

    def __init__(self, clock: Clock, most_samples: int = MOST_SAMPLES) -> None:
        self._clock, self._most = clock, most_samples
        self._lock = threading.Lock()
        self._followed: dict[str, Followed] = {}
        self._left_to_store: set[str] = set()
        self._position = 0

    def take(self, position: int, frame: Frame) -> None:
        """The samples of one journal entry, before the store gets them."""
        with self._lock:
            self._position = position
            if self._followed.keys().isdisjoint(frame.hosts):
                return
            order = np.argsort(frame.code, kind="stable")
            bounds = np.searchsorted(frame.code[order], np.arange(len(frame.hosts) + 1)).tolist()
            time, values = frame.time[order], frame.values[order]
            for i, host in enumerate(frame.hosts):
                followed = self._followed.get(host)
                if followed is not None and bounds[i] < bounds[i + 1]:
                    rows = slice(bounds[i], bounds[i + 1])
                    self._put(host, followed, (time[rows], values[rows]))

    def samples(self, host: str, start: int, stop: int) -> Samples | None:
        """Every sample of a host in [start, stop); None: ask the store."""
        with self._lock:
            found = self._followed.get(host)
            if found is None or start < found.start or stop > found.stop:
                return None
            found.asked_at = now = self._clock.monotonic()
            if now >= found.trusted_until:
                return None
            first, last = np.searchsorted(found.time[: found.n], (start, stop)).tolist()
            return found.time[first:last].copy(), found.values[first:last].copy()

    def follow(self, host: str, scored_position: int) -> Followed | None:
        """From now on every sample of this host is kept that is scored; None when there is no room for it."""
        with self._lock:
            found, now = self._followed.get(host), self._clock.monotonic()
            if found is None and host not in self._left_to_store:
                if self._size() >= self._most:
                    self._drop_unasked(now)
                if self._size() < self._most:
                    found = self._followed[host] = Followed(max(self._position, scored_position), now)
            return found

    def learn(self, host: str, followed: Followed, stored: Samples, start: int, stop: int) -> None:
        """What the store had in [start, stop), asked when it had everything up to `followed.after`."""
        with self._lock:
            if self._followed.get(host) is not followed:
                return
            known, _ = followed.samples()
            is_known = (stored[0] >= followed.start) & (stored[0] < followed.stop)
            if not np.isin(stored[0][is_known], known).all():
                self._leave(host, "somebody else writes samples of it to the store too")
                return
            followed.hold(_merged(stored, followed.samples()), SMALLEST)
            followed.stop = stop
            followed.let_go(start)
            if not followed.n:  # whoever asks for hosts that do not exist costs no memory
                del self._followed[host]
            followed.trusted_until = self._clock.monotonic() + followed.trust_seconds
            followed.trust_seconds = min(2 * followed.trust_seconds, MOST_TRUST_SECONDS)

    def leave_to_store(self, host: str, why: str) -> None:
        """This host is not followed any more, until the next start."""
        with self._lock:
            self._leave(host, why)

    def forget(self, host: str) -> None:
        """What is known of a host is no longer what the store has."""
        with self._lock:
            self._followed.pop(host, None)

    def forget_all(self) -> None:
        with self._lock:
            self._followed.clear()

    def _put(self, host: str, followed: Followed, samples: Samples) -> None:
        if followed.append(samples):
            return
        followed.let_go(self._clock.now_ms() - RECENT_MS)
        new = samples[0] >= followed.start
        together = _merged(followed.samples(), (samples[0][new], samples[1][new]))
        if self._clock.monotonic() - followed.asked_at > RECENT_MS / 1000 or self._size() >= self._most:
            del self._followed[host]
            return
        followed.hold(together, max(SMALLEST, len(together[0]) // 4))

    def _leave(self, host: str, why: str) -> None:
        log.info("the last minutes of %s are always read from the store: %s", host, why)
        self._followed.pop(host, None)
        self._left_to_store.add(host)

    def _drop_unasked(self, now: float) -> None:
        kept = {host: item for host, item in self._followed.items() if now - item.asked_at <= RECENT_MS / 1000}
        self._followed = kept

    def _size(self) -> int:
        return sum(max(len(item.time), SMALLEST) for item in self._followed.values())


def _merged(first: Samples, second: Samples) -> Samples:
    """Both, ascending; of the same instant the last one."""
    time, values = np.concatenate([first[0], second[0]]), np.concatenate([first[1], second[1]])
    order = np.argsort(time, kind="stable")
    last = order[np.append(time[order][1:] != time[order][:-1], True)] if len(time) else order
    return time[last], values[last]
