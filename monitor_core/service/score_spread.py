"""ScoreSpread: how the scores of the last hours are spread, counted as they come: no page has to read them all."""

from __future__ import annotations

import json
import threading

import numpy as np

from monitor_core.frame import FloatArray, IntArray

BINS, HOURS = 40, 6
HOUR_MS = 3_600_000


class ScoreSpread:
    """Counts in equal bins of 0..1 for each hour of sample time; the last six hours and the one that runs are kept."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._hours: dict[int, IntArray] = {}

    def add(self, time: IntArray, score: FloatArray) -> None:
        """Scores [n] of samples at `time` [n] ms."""
        if not len(time):
            return
        hour = time // HOUR_MS
        first = max(int(hour.max()), max(self._hours, default=0)) - HOURS
        recent = hour >= first
        bins = np.minimum((score[recent] * BINS).astype(np.int64), BINS - 1)
        cells = np.bincount((hour[recent] - first) * BINS + bins, minlength=(HOURS + 1) * BINS).reshape(-1, BINS)
        with self._lock:
            for number in np.flatnonzero(cells.any(axis=1)).tolist():
                known = self._hours.get(first + number, np.zeros(BINS, np.int64))
                self._hours[first + number] = known + cells[number]
            self._hours = {at: counts for at, counts in self._hours.items() if at >= first}

    def view(self) -> dict[str, list[float]]:
        """Counts of all kept hours together, and the edges of their bins."""
        with self._lock:
            total = sum(self._hours.values(), np.zeros(BINS, np.int64))
        return {"edges": np.round(np.linspace(0, 1, BINS + 1), 4).tolist(), "counts": total.tolist()}

    def saved(self) -> str:
        with self._lock:
            return json.dumps({str(at): counts.tolist() for at, counts in self._hours.items()})

    def restore(self, saved: str | None) -> None:
        """Go on after a restart."""
        self._hours = {int(at): np.array(counts, dtype=np.int64) for at, counts in json.loads(saved or "{}").items()}
