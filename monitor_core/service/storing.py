"""Storing: brings what was judged to the time-series store, in order, at the store's own pace.

While the store takes what it is given, entries come straight from memory. When it does not, they are left in the
journal and read from there once it is back, so an outage costs disk and not memory.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import msgspec
import numpy as np

from monitor_core.frame import Frame, concat
from monitor_core.scores import Scores, concat_scores
from monitor_core.storage.journal import Entry, EntryKind, Journal
from monitor_core.storage.state import StateStore
from monitor_core.storage.timeseries import Anomaly, StoreUnavailable, TimeSeriesStore

log = logging.getLogger("monitor.storing")

MOST_IN_MEMORY = 500
GROUP = 50
RETRY_SECONDS = 1.0


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


class Storing:
    """One thread; `stored_position` is how far it has come."""

    def __init__(self, journal: Journal, state: StateStore, store: TimeSeriesStore, scored: Callable[[], int]) -> None:
        self._journal, self._state, self._store, self._scored = journal, state, store, scored
        self._ready: deque[Judged] = deque()
        self._from_journal = True
        self._wake = threading.Condition()
        self._stopping = False
        self.stored_position = 0
        self.last_error: str | None = None

    def hand_over(self, judged: Sequence[Judged]) -> None:
        """Committed entries, in order. Beyond a few hundred they are left to the journal."""
        with self._wake:
            if not self._from_journal:
                self._ready.extend(judged)
                if len(self._ready) > MOST_IN_MEMORY:
                    self._ready.clear()
                    self._from_journal = True
            self._wake.notify()

    def run(self) -> None:
        """The storing thread, until `stop`; what is not stored then is in the journal."""
        while not self._stopping:
            group = self._next_group()
            if group and not self._store_group(group):
                self._from_journal_again()

    def stop(self) -> None:
        with self._wake:
            self._stopping = True
            self._wake.notify()

    def _next_group(self) -> list[Judged]:
        with self._wake:
            if self._from_journal:
                found = self._read_journal()
                if found:
                    return found
                # nothing is left behind there: from here on memory has everything
                self._from_journal = False
            if not self._ready and not self._stopping:
                self._wake.wait(timeout=RETRY_SECONDS)
            return [self._ready.popleft() for _ in range(min(GROUP, len(self._ready)))]

    def _read_journal(self) -> list[Judged]:
        entries = self._journal.after(self.stored_position, GROUP)
        return [Judged.from_entry(entry) for entry in entries if entry.position <= self._scored() and entry.scored]

    def _store_group(self, group: list[Judged]) -> bool:
        group = [item for item in group if item.position > self.stored_position]
        if not group:
            return True
        try:
            self._write(group)
        except StoreUnavailable as error:
            self.last_error = str(error)
            log.warning("the store does not take samples, they wait in the journal: %s", error)
            return False
        except Exception as error:  # a fault in the store must not end the thread that would tell of it
            self.last_error = f"{type(error).__name__}: {error}"
            log.exception("storing failed; samples wait in the journal")
            return False
        self.last_error = None
        self._state.set_position("stored", group[-1].position)
        self.stored_position = group[-1].position
        return True

    def _write(self, group: list[Judged]) -> None:
        samples = [item for item in group if len(item.frame)]
        if samples:
            self._store.write(concat([i.frame for i in samples]), concat_scores([i.scores for i in samples]))
        anomalies = [anomaly for item in group for anomaly in item.anomalies]
        if anomalies:
            self._store.write_anomalies(anomalies)

    def _from_journal_again(self) -> None:
        with self._wake:
            self._ready.clear()
            self._from_journal = True
            if not self._stopping:
                self._wake.wait(timeout=RETRY_SECONDS)
