"""ScoreSpread and VoteSpread: how scores are spread, counted as they come: no page has to read all samples."""

from __future__ import annotations

import json
import threading

import numpy as np

from monitor_core.detection import drift
from monitor_core.frame import FloatArray, IntArray

BINS, HOURS = drift.BINS, 6
HOUR_MS = 3_600_000
VOTE_STEP_MS, VOTE_STEPS = 15 * 60_000, 96


class ScoreSpread:
    """Counts in equal bins of 0..1 for each step of sample time (an hour); the last `steps` and the one that runs are
    kept."""

    def __init__(self, step_ms: int = HOUR_MS, steps: int = HOURS) -> None:
        self._lock = threading.Lock()
        self._step_ms, self._steps = step_ms, steps
        self._kept: dict[int, IntArray] = {}

    def add(self, time: IntArray, score: FloatArray) -> None:
        """Scores [n] of samples at `time` [n] ms."""
        if not len(time):
            return
        step = time // self._step_ms
        first = max(int(step.max()), max(self._kept, default=0)) - self._steps
        recent = step >= first
        bins = np.minimum((score[recent] * BINS).astype(np.int64), BINS - 1)
        size = (self._steps + 1) * BINS
        cells = np.bincount((step[recent] - first) * BINS + bins, minlength=size).reshape(-1, BINS)
        with self._lock:
            for number in np.flatnonzero(cells.any(axis=1)).tolist():
                known = self._kept.get(first + number, np.zeros(BINS, np.int64))
                self._kept[first + number] = known + cells[number]
            self._kept = {at: counts for at, counts in self._kept.items() if at >= first}

    def counts(self, since: int = 0) -> IntArray:
        """[BINS] of all kept steps that end after `since`, ms UTC."""
        with self._lock:
            parts = [counts for at, counts in self._kept.items() if (at + 1) * self._step_ms > since]
        return sum(parts, np.zeros(BINS, np.int64))

    def view(self) -> dict[str, list[float]]:
        """Counts of all kept hours together, and the edges of their bins."""
        return {"edges": np.round(np.linspace(0, 1, BINS + 1), 4).tolist(), "counts": self.counts().tolist()}

    def saved(self) -> str:
        with self._lock:
            return json.dumps({str(at): counts.tolist() for at, counts in self._kept.items()})

    def restore(self, saved: str | None) -> None:
        """Go on after a restart."""
        self._kept = {int(at): np.array(counts, dtype=np.int64) for at, counts in json.loads(saved or "{}").items()}


class VoteSpread:
    """The forest's votes over the last day; they are counted anew when another version speaks."""

    def __init__(self) -> None:
        self._version = 0
        self._spread = ScoreSpread(VOTE_STEP_MS, VOTE_STEPS)

    def add(self, time: IntArray, votes: FloatArray, version: int) -> None:
        """Votes [n] of samples at `time` [n] ms; NaN: the forest did not speak."""
        if version != self._version:
            self._version, self._spread = version, ScoreSpread(VOTE_STEP_MS, VOTE_STEPS)
        spoken = ~np.isnan(votes)
        self._spread.add(time[spoken], votes[spoken])

    def counts(self, version: int, since: int) -> IntArray:
        """[BINS] of the version's votes since then, to a quarter of an hour."""
        return self._spread.counts(since) if version == self._version else np.zeros(BINS, np.int64)

    def saved(self) -> str:
        return json.dumps({"version": self._version, "votes": self._spread.saved()})

    def restore(self, saved: str | None) -> None:
        """Go on after a restart."""
        if saved:
            kept = json.loads(saved)
            self._version = int(kept["version"])
            self._spread.restore(kept["votes"])
