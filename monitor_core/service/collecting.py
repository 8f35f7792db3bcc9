"""Collecting: what the scheduler does each tick with a source, and how a source's past is brought in.

A source with a past (the simulated fleet) brings the last hour before its first tick and the rest in the background,
in frames small enough that a live tick never waits long behind one.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from typing import Protocol, runtime_checkable

from monitor_core.frame import Frame
from monitor_core.service.clock import Clock
from monitor_core.service.pipeline import Pipeline

log = logging.getLogger("monitor.collecting")

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
ACCEPT_SECONDS = 30.0
HISTORY_ROWS_PER_FRAME = 6_000
PAST_MS = 3_000  # of the hours before the last one: finer steps would keep a core busy for minutes


class Source(Protocol):
    """Something that is asked for samples at every tick; None when it has none."""

    name: str
    simulated: bool

    def read(self, now_ms: int) -> Frame | None: ...


@runtime_checkable
class HasPast(Protocol):
    """A source that can also tell what would have been sampled in [start, stop), in order of time."""

    def history(self, start: int, stop: int, interval_ms: int) -> Iterator[Frame]: ...


class Collector:
    """One source on its way into the pipeline; `progress` 0..1 of its past, None when it has none to bring."""

    def __init__(self, source: Source, pipeline: Pipeline, clock: Clock, interval_ms: int) -> None:
        self.source = source
        self._pipeline, self._clock, self._interval_ms = pipeline, clock, interval_ms
        self._ready = threading.Event()
        self._stopping = threading.Event()
        self.progress: float | None = None
        self.last_tick: float | None = None

    def tick(self) -> None:
        """Read and hand in; the job fails (and is counted) when the journal does not take it."""
        if not self._ready.is_set():
            return
        frame = self.source.read(self._clock.now_ms())
        if frame is not None and len(frame):
            self._pipeline.accept(frame).result(ACCEPT_SECONDS)
        self.last_tick = self._clock.monotonic()

    def begin(self, *, first_start: bool) -> None:
        """Bring the past in where there is one and nothing is known yet, then let ticks through."""
        if first_start and isinstance(self.source, HasPast):
            self.progress = 0.0
            threading.Thread(target=self._bring_past, args=(self.source,), name="history", daemon=True).start()
        else:
            self._ready.set()

    def stop(self) -> None:
        self._stopping.set()

    def _bring_past(self, source: HasPast) -> None:
        now = self._clock.now_ms()
        try:
            self._bring(source, now - HOUR_MS, now, self._interval_ms)
            self._ready.set()
            apart = max(self._interval_ms, PAST_MS)
            for step in range(1, 24):
                self._bring(source, now - (step + 1) * HOUR_MS, now - step * HOUR_MS, apart)
                self.progress = step / 23
        except Exception:  # the live ticks go on; the health page shows how far the past came
            log.exception("the simulated past could not be brought in")
        finally:
            self._ready.set()

    def _bring(self, source: HasPast, start: int, stop: int, interval_ms: int) -> None:
        """Frame by frame, each only when the last one is scored, so that live ticks get their turn in between."""
        for whole in source.history(start, stop, interval_ms):
            for first in range(0, len(whole), HISTORY_ROWS_PER_FRAME):
                rows = slice(first, first + HISTORY_ROWS_PER_FRAME)
                part = Frame(whole.time[rows], whole.hosts, whole.code[rows], whole.values[rows], whole.simulated)
                position = self._pipeline.accept(part).result(ACCEPT_SECONDS)
                while self._pipeline.scored_position < position:
                    if self._stopping.wait(0.01):
                        return
