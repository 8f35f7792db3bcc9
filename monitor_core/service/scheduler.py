"""Scheduler: APScheduler with the few things it lacks here: a watchdog over clock jumps, and counts of what was late.

APScheduler waits for wall-clock instants; after the wall clock was set back an hour it would wait that hour
(agronholm/apscheduler#351). The watchdog compares the wall clock with the monotonic one and has every job that is
affected run again at once.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_MAX_INSTANCES, EVENT_JOB_MISSED
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.interval import IntervalTrigger

from monitor_core.service.clock import Clock

log = logging.getLogger("monitor.scheduler")

WATCH_SECONDS = 0.5
JUMP_SECONDS = 2.0


@dataclass(slots=True)
class JobCount:
    """How a job has fared: `late` began after half its interval, `skipped` fell out because the last one still ran."""

    name: str
    every_seconds: float | None
    runs: int = 0
    late: int = 0
    skipped: int = 0
    failed: int = 0
    last_ms: float | None = None
    started_at: float | None = None


class Scheduler:
    """Jobs by interval or trigger, each in a pool thread; `datetime_now` is the wall clock APScheduler sees."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._scheduler = BackgroundScheduler(
            timezone=UTC,
            executors={"default": ThreadPoolExecutor(8)},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )
        self._scheduler.add_listener(self._on_event, EVENT_JOB_MISSED | EVENT_JOB_MAX_INSTANCES | EVENT_JOB_ERROR)
        self.counts: dict[str, JobCount] = {}
        self.jumps = 0
        self._drift = self._wall_minus_monotonic()
        self._stop = threading.Event()
        self._watchdog = threading.Thread(target=self._watch, name="clock-watchdog", daemon=True)

    def every(self, seconds: float, name: str, work: Callable[[], object]) -> None:
        """Run `work` every `seconds`, the first time at once."""
        count = self.counts[name] = JobCount(name, seconds)
        trigger = IntervalTrigger(seconds=seconds, timezone=UTC)
        self._add(name, trigger, count, work, next_run_time=datetime.now(UTC))

    def at(self, trigger: BaseTrigger, name: str, work: Callable[[], object]) -> None:
        """Run `work` whenever the trigger says."""
        count = self.counts[name] = JobCount(name, None)
        self._add(name, trigger, count, work)

    def _add(
        self, name: str, trigger: BaseTrigger, count: JobCount, work: Callable[[], object], **options: Any
    ) -> None:
        def run() -> None:
            started = self._clock.monotonic()
            before, count.started_at = count.started_at, started
            if count.every_seconds and before is not None and started - before > 1.5 * count.every_seconds:
                count.late += 1
            work()
            count.runs += 1
            count.last_ms = (self._clock.monotonic() - started) * 1000

        self._scheduler.add_job(run, trigger, id=name, **options)

    def start(self) -> None:
        self._scheduler.start()
        self._watchdog.start()

    def stop(self) -> None:
        """No job begins any more; those that run are waited for."""
        self._stop.set()
        if self._scheduler.running:
            self._scheduler.shutdown(wait=True)

    def next_run_at(self, name: str) -> int | None:
        """ms UTC, None when it will not run."""
        job = self._scheduler.get_job(name)
        when = getattr(job, "next_run_time", None)
        return int(when.timestamp() * 1000) if when else None

    def check_clock(self) -> bool:
        """Has the wall clock jumped since the last look? Then every interval job is due now. True when it had."""
        drift = self._wall_minus_monotonic()
        jumped = abs(drift - self._drift) > JUMP_SECONDS
        self._drift = drift
        if not jumped:
            return False
        self.jumps += 1
        log.warning("the wall clock jumped; jobs are scheduled anew")
        for name, count in self.counts.items():
            if count.every_seconds is not None and self._scheduler.get_job(name) is not None:
                self._scheduler.modify_job(name, next_run_time=self._now() + timedelta(milliseconds=1))
        self._scheduler.wakeup()
        return True

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.now_ms() / 1000, UTC)

    def _wall_minus_monotonic(self) -> float:
        return self._clock.now_ms() / 1000 - self._clock.monotonic()

    def _watch(self) -> None:
        while not self._stop.wait(WATCH_SECONDS):
            self.check_clock()

    def _on_event(self, event: Any) -> None:
        count = self.counts.get(event.job_id)
        if count is None:
            return
        if event.code == EVENT_JOB_ERROR:
            count.failed += 1
        else:
            count.skipped += 1
