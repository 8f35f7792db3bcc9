"""History: what was. From memory or the store, and while it is away the last minutes from the journal.

What is acknowledged but not stored yet is laid over raw samples, so that nothing is missing while a backlog drains.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from monitor_core.frame import Frame, IntArray
from monitor_core.metrics import METRICS
from monitor_core.scores import Scores
from monitor_core.service.clock import Clock
from monitor_core.service.recent import RECENT_MS, Samples
from monitor_core.service.storing import Judged, Storing
from monitor_core.storage import rollups
from monitor_core.storage.answers import no_raw, raw_series, series_of, spread_of_rows
from monitor_core.storage.journal import EntryKind, Journal
from monitor_core.storage.rollups import Raw
from monitor_core.storage.timeseries import TIER_MS, Series, StoreUnavailable, Tier, TimeSeriesStore

MOST_ENTRIES = 20_000
MOST_OF_HOST = 10_000  # samples of its last minutes: a host with more of them is left to the store
AHEAD_MS = 11 * 3_600_000  # samples may lie ahead of a clock that was put right; beyond 12 h a store answers with means
_M = len(METRICS)


class History:
    """Reads for pages and API; the store itself is for whoever needs all of it."""

    def __init__(self, store: TimeSeriesStore, journal: Journal, storing: Storing, clock: Clock) -> None:
        self._store, self._journal, self._storing, self._clock = store, journal, storing, clock
        self._memory = storing.recent

    def remembered(self, host: str, start: int, stop: int, max_points: int) -> Samples | None:
        """What `samples` would answer, when no question to the store is needed for it."""
        found = self._memory.samples(host, start, stop) if _is_raw(start, stop, max_points) else None
        return found if found is not None and len(found[0]) <= max_points else None

    def samples(self, host: str, start: int, stop: int, max_points: int) -> Samples:
        """Time and mean of `series`; of recent minutes the store is asked once, from then on memory has them."""
        try:
            if self._is_worth_learning(host, start, stop, max_points):
                self._learn(host)
        except StoreUnavailable:
            series = self._from_journal(host, start, stop, max_points)
        else:
            if (found := self.remembered(host, start, stop, max_points)) is not None:
                return found
            series = self.series(host, start, stop, max_points)
        return series.time, series.mean

    def forget(self, host: str) -> None:
        """The store has forgotten it."""
        self._memory.forget(host)

    def _is_worth_learning(self, host: str, start: int, stop: int, max_points: int) -> bool:
        now = self._clock.now_ms()
        fits = now - RECENT_MS <= start and stop <= now + AHEAD_MS and _is_raw(start, stop, max_points)
        return fits and self._storing.away is None and self._memory.samples(host, start, stop) is None

    def _learn(self, host: str) -> None:
        followed = self._memory.follow(host, self._storing.scored_position)
        if followed is None or self._storing.stored_position < followed.after:
            return
        start, stop = (self._clock.now_ms() + shift for shift in (-RECENT_MS, AHEAD_MS))
        found = self._store.series(host, start, stop, MOST_OF_HOST)
        if found.bucket_ms or found.tier is not Tier.RAW:
            self._memory.leave_to_store(host, "it has too many samples")
        else:
            self._memory.learn(host, followed, (found.time, found.mean), start, stop)

    def series(self, host: str, start: int, stop: int, max_points: int) -> Series:
        """As the store's; tier `journal` when it is away and these are the last minutes only."""
        try:
            found = self._store.series(host, start, stop, max_points)
        except StoreUnavailable:
            return self._from_journal(host, start, stop, max_points)
        if self._storing.away is None and not self._storing.is_behind:
            return found
        if found.bucket_ms or found.tier is not Tier.RAW:
            return found
        waiting = _of_host(self._entries(self._storing.stored_position), host).between(start, stop)
        return _laid_over(found, waiting) if len(waiting.time) + len(found.time) <= max_points else found

    def fleet(self, start: int, stop: int, max_points: int) -> tuple[IntArray, np.ndarray]:
        """As the store's; while it is away the last minutes."""
        try:
            return self._store.fleet(start, stop, max_points)
        except StoreUnavailable:
            width = max(TIER_MS[Tier.MINUTE], -(-(stop - start) // max_points))
            parts = [_means(item, width) for item in self._entries(self._recent()) if len(item.frame)]
        if not parts:
            return np.zeros(0, np.int64), np.zeros((0, _M, 3))
        time = np.concatenate([part[0] for part in parts])
        values = np.concatenate([part[1] for part in parts])
        rows = (time >= start) & (time < stop)
        return spread_of_rows(time[rows], values[rows])

    def _from_journal(self, host: str, start: int, stop: int, max_points: int) -> Series:
        raw = _of_host(self._entries(self._recent()), host).between(start, stop)
        if len(raw.time) <= max_points:
            return replace(raw_series(host, raw, rollups.empty(_M)), tier=Tier.JOURNAL)
        width = -(-(stop - start) // max_points)
        return series_of(host, rollups.roll_up(raw, width), Tier.JOURNAL, width)

    def _recent(self) -> int:
        return self._journal.before(self._clock.now_ms() - RECENT_MS)

    def _entries(self, after: int) -> list[Judged]:
        """Scored entries of samples behind a position, the newest when there are very many."""
        after = max(after, self._journal.last() - MOST_ENTRIES)
        entries = self._journal.after(after, MOST_ENTRIES)
        return [Judged.from_entry(entry) for entry in entries if entry.scored and entry.kind is EntryKind.SAMPLES]


def _is_raw(start: int, stop: int, max_points: int) -> bool:
    """Are samples, and not rollups, what a store has for so many points?"""
    return stop - start < max_points * TIER_MS[Tier.MINUTE]


def _of_host(items: Sequence[Judged], host: str) -> Raw:
    """One host's samples, ascending, of the same instant the last one."""
    parts = [_raw(item.frame, item.scores, host) for item in items if host in item.frame.hosts]
    return rollups.merge(parts) if any(len(part.time) for part in parts) else no_raw()


def _raw(frame: Frame, scores: Scores, host: str) -> Raw:
    rows = np.flatnonzero(frame.code == frame.hosts.index(host))
    return Raw(
        frame.time, frame.values, scores.score, scores.anomaly, scores.expected_low, scores.expected_high
    ).take(rows)  # fmt: skip


def _laid_over(found: Series, waiting: Raw) -> Series:
    """Stored samples with those that wait; of the same instant the one that waits."""
    if not len(waiting.time):
        return found
    bits = (found.anomalies * (1 << np.arange(_M))).sum(axis=1).astype(np.uint8)
    stored = Raw(found.time, found.mean, found.score, bits, found.expected_low, found.expected_high)
    return raw_series(found.host, rollups.merge([stored, waiting]), rollups.empty(_M))


def _means(item: Judged, width: int) -> tuple[IntArray, np.ndarray]:
    """(bucket start, values): each sample stands for its host, which is near enough for a few minutes."""
    return item.frame.time // width * width, item.frame.values
