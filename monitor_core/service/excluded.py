"""Excluded: spans of time that no training may learn from, because somebody said so (a migration, a load test)."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import msgspec

from monitor_core.storage.state import StateStore

KEY = "models.excluded"
MOST = 200


@dataclass(frozen=True, slots=True)
class Excluded:
    """[start, stop) in ms UTC of one host, or of all (`host` None)."""

    id: int
    host: str | None
    start: int
    stop: int
    why: str
    created_at: int


class TooManyExcluded(Exception):
    """The list is full; the message says how long it may be."""


class ExcludedSpans:
    """Kept in the state file."""

    def __init__(self, state: StateStore) -> None:
        self._state = state
        self._lock = threading.Lock()

    def all(self) -> list[Excluded]:
        """Newest first."""
        saved = self._state.meta(KEY)
        return msgspec.json.decode(saved, type=list[Excluded]) if saved else []

    def add(self, host: str | None, start: int, stop: int, why: str, now: int) -> Excluded:
        """Raises TooManyExcluded."""
        with self._lock:
            known = self.all()
            if len(known) >= MOST:
                raise TooManyExcluded(f"there are {MOST} excluded spans already")
            new = Excluded(max((item.id for item in known), default=0) + 1, host, start, stop, why, now)
            self._keep([new, *known])
            return new

    def remove(self, number: int) -> bool:
        """False when there is no such span."""
        with self._lock:
            known = self.all()
            left = [item for item in known if item.id != number]
            self._keep(left)
            return len(left) < len(known)

    def spans(self, hosts: Sequence[str]) -> dict[str, list[tuple[int, int]]]:
        """Per host, both ends included."""
        known = self.all()
        return {
            host: [(item.start, item.stop - 1) for item in known if item.host in {None, host}]
            for host in hosts
            if any(item.host in {None, host} for item in known)
        }

    def _keep(self, items: Sequence[Excluded]) -> None:
        self._state.set_meta(KEY, msgspec.json.encode([asdict(item) for item in items]).decode())
