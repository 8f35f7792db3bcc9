"""Storing: brings what was judged to the time-series store, in order, at the store's own pace.

While the store takes what it is given, entries come straight from memory. When it does not, they are left in the
journal and read from there once it is back, so an outage costs disk and not memory. The disk it may cost is bounded:
beyond `most_bytes` the oldest samples that wait are given up (and counted), because the newest are what incidents and
the pages need; scoring, deciding and telling never wait for the store.
"""

from __future__ import annotations

import logging
import random
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec
import numpy as np

from monitor_core.backoff import next_delay_seconds
from monitor_core.frame import Frame, concat
from monitor_core.scores import Scores, concat_scores
from monitor_core.service.clock import Clock
from monitor_core.service.counters import Counters
from monitor_core.service.recent import Recent
from monitor_core.storage.journal import Backlog, Entry, EntryKind, Journal
from monitor_core.storage.state import StateStore
from monitor_core.storage.timeseries import Anomaly, RefusedSample, StoreUnavailable, TimeSeriesStore

log = logging.getLogger("monitor.storing")

MOST_IN_MEMORY = 50_000  # samples
GROUP_ENTRIES, GROUP_SAMPLES = 1_000, 20_000
LONGEST_DELAY_SECONDS = 30.0
IDLE_SECONDS = 1.0
AFTER_GIVING_UP = 0.9  # of the bound: otherwise every entry would give up another one


@dataclass(frozen=True, slots=True)
class Judged:
    """One entry of the journal with what came of it. An entry that only asked has no rows."""

    position: int
    frame: Frame
    scores: Scores
    anomalies: tuple[Anomaly, ...]

    def without_samples(self) -> Judged:
        """The same with its anomalies only: nothing of it is a sample to store."""
        none = np.zeros(0, dtype=np.int64)
        return replace(self, frame=self.frame.take(none), scores=self.scores.take(none))

    def to_bytes(self) -> bytes:
        """Everything but the frame, which the journal has."""
        return msgspec.msgpack.encode((self.scores.to_bytes(), self.anomalies))

    @staticmethod
    def from_entry(entry: Entry) -> Judged:
        """Read back what was laid beside a journal entry."""
        scores, anomalies = msgspec.msgpack.decode(entry.scored or b"", type=tuple[bytes, tuple[Anomaly, ...]])
        judged = Judged(entry.position, Frame.from_bytes(entry.body), Scores.from_bytes(scores), anomalies)
        return judged if entry.kind is EntryKind.SAMPLES else judged.without_samples()


def split_by_entry(
    positions: Sequence[int], bounds: Sequence[int], frame: Frame, scores: Scores, anomalies: Sequence[Anomaly]
) -> list[Judged]:
    """One item per journal entry; `bounds` are the rows at which the next entry begins. The last takes the anomalies:
    all of them are committed together anyway."""
    if len(positions) == 1:
        return [Judged(positions[0], frame, scores, tuple(anomalies))]
    rows = np.split(np.arange(len(frame)), bounds)
    parts = [Judged(at, frame.take(own), scores.take(own), ()) for at, own in zip(positions, rows, strict=True)]
    parts[-1] = replace(parts[-1], anomalies=tuple(anomalies))
    return parts


@dataclass(frozen=True, slots=True)
class Away:
    """The store does not take samples: since when (ms UTC), why, and whether it needs somebody to set it right."""

    since: int
    reason: str
    needs_operator: bool = False


class Storing:
    """One thread; `stored_position` is how far it has come, `away` what keeps it from going on (None: nothing)."""

    def __init__(
        self,
        journal: Journal,
        state: StateStore,
        store: TimeSeriesStore,
        clock: Clock,
        counters: Counters,
        most_bytes: int = 1 << 62,
    ) -> None:
        self._journal, self._state, self._store = journal, state, store
        self._clock, self._counters, self._most_bytes = clock, counters, most_bytes
        self._ready: deque[Judged] = deque()
        self._in_memory = 0
        self._from_journal = True
        self._wake = threading.Condition()
        self._stopping = False
        self._attempt = 0
        self._backlog = (Backlog(0, 0, None), 0.0)
        self.recent = Recent(clock)
        self.stored_position = 0
        self.scored_position = 0
        self.given_up = 0
        self.away: Away | None = None

    def hand_over(self, judged: Sequence[Judged]) -> None:
        """Committed entries, in order. Beyond some thousand samples they are left to the journal."""
        for item in judged:
            self.recent.take(item.position, item.frame)
        with self._wake:
            self.scored_position = max(self.scored_position, *(item.position for item in judged))
            if not self._from_journal:
                self._ready.extend(judged)
                self._in_memory += sum(len(item.frame) for item in judged)
                if self._in_memory > MOST_IN_MEMORY:
                    self._leave_to_journal()
            if self.away is None:
                self._wake.notify()

    def run(self) -> None:
        """The storing thread, until `stop`; what is not stored then is in the journal."""
        while not self._stopping:
            group = self._next_group()
            if group and not self._store_group(group):
                self._give_up_oldest()

    def stop(self) -> None:
        with self._wake:
            self._stopping = True
            self._wake.notify()

    def backlog(self) -> Backlog:
        """What waits. Counted anew only as often as it is cheap: a long backlog takes a while to count."""
        found, until = self._backlog
        now = self._clock.monotonic()
        if now >= until:
            found = self._journal.backlog(self.stored_position)
            took = self._clock.monotonic() - now
            self._backlog = (found, now + max(0.2, 20 * took))
        return found

    @property
    def is_behind(self) -> bool:
        """Does something wait in the journal that came there a while ago?"""
        return self._from_journal

    def _next_group(self) -> list[Judged]:
        if self._from_journal and (found := self._read_journal()):
            return found
        with self._wake:
            if self._from_journal:
                found = self._read_journal()
                if found:
                    return found
                # nothing is left behind there: from here on memory has everything
                self._from_journal = False
            if not self._ready and not self._stopping:
                self._wake.wait(timeout=IDLE_SECONDS)
            return self._take_ready()

    def _take_ready(self) -> list[Judged]:
        group: list[Judged] = []
        samples = 0
        while self._ready and samples < GROUP_SAMPLES and len(group) < GROUP_ENTRIES:
            group.append(self._ready.popleft())
            samples += len(group[-1].frame)
        self._in_memory -= samples
        return group

    def _read_journal(self) -> list[Judged]:
        entries = self._journal.after(self.stored_position, GROUP_ENTRIES, GROUP_SAMPLES)
        return [
            Judged.from_entry(entry) for entry in entries if entry.position <= self.scored_position and entry.scored
        ]

    def _leave_to_journal(self) -> None:
        self._ready.clear()
        self._in_memory = 0
        self._from_journal = True

    def _store_group(self, group: list[Judged]) -> bool:
        group = [item for item in group if item.position > self.stored_position]
        if not group:
            return True
        try:
            refused = self._write(group)
            self._state.keep_stored(group[-1].position, refused, self._clock.now_ms())
        except StoreUnavailable as error:
            self._wait_for_store(str(error), error.retry_after_seconds, error.needs_operator)
            return False
        except Exception as error:  # a fault in the store must not end the thread that would tell of it
            log.exception("storing failed; samples wait in the journal")
            self._wait_for_store(f"{type(error).__name__}: {error}", None, needs_operator=False)
            return False
        for item in refused:
            log.warning("the store will never take a sample (%s): %s", item.reason, item.sample)
        if refused:
            self.recent.forget_all()
        self.stored_position = group[-1].position
        self._counters.stored.put(sum(len(item.frame) for item in group))
        if self.away is not None:
            log.warning("the store takes samples again after %d s", (self._clock.now_ms() - self.away.since) // 1000)
        self.away, self._attempt = None, 0
        return True

    def _write(self, group: list[Judged]) -> list[RefusedSample]:
        refused: list[RefusedSample] = []
        samples = [item for item in group if len(item.frame)]
        if samples:
            scores = concat_scores([item.scores for item in samples])
            refused += self._store.write(concat([item.frame for item in samples]), scores)
        anomalies = [anomaly for item in group for anomaly in item.anomalies]
        if anomalies:
            refused += self._store.write_anomalies(anomalies)
        return refused

    def _wait_for_store(self, reason: str, retry_after: float | None, needs_operator: bool) -> None:
        """Leave everything to the journal and wait, longer after each try."""
        if self.away is None or self.away.reason != reason:
            log.warning("the store does not take samples, they wait in the journal: %s", reason)
        self.away = Away(self.away.since if self.away else self._clock.now_ms(), reason, needs_operator)
        delay = next_delay_seconds(self._attempt, retry_after, random.random(), LONGEST_DELAY_SECONDS)  # noqa: S311 - no secret
        self._attempt += 1
        with self._wake:
            self._leave_to_journal()
            if not self._stopping:
                self._wake.wait(timeout=delay)

    def _give_up_oldest(self) -> None:
        """Keep what waits within its bound."""
        waiting = self._journal.backlog(self.stored_position)
        if waiting.bytes <= self._most_bytes:
            return
        surplus = waiting.bytes - int(self._most_bytes * AFTER_GIVING_UP)
        position, samples = self._journal.prefix(self.stored_position, surplus, self.scored_position)
        self._state.keep_stored(position, [], self._clock.now_ms())
        self.stored_position = position
        self.given_up += samples
        log.error("more waits for the store than SPOOL_MAX_BYTES: %d samples were given up, the oldest first", samples)
