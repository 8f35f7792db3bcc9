import threading
import time
from datetime import datetime, timedelta
from itertools import pairwise

import pytest

from monitor_core.service.clock import SystemClock
from monitor_core.service.scheduler import Scheduler
from tests.conftest import until


class ShiftedClock(SystemClock):
    """The wall clock can be set; the monotonic one cannot."""

    shift_seconds = 0.0

    def now_ms(self):
        return super().now_ms() + int(self.shift_seconds * 1000)


@pytest.fixture
def jumpy(monkeypatch):
    clock = ShiftedClock()

    class Shifted(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + timedelta(seconds=clock.shift_seconds)

    # APScheduler takes no clock, so its own view of the time is shifted
    for module in ("apscheduler.schedulers.base", "apscheduler.triggers.interval", "monitor_core.service.scheduler"):
        monkeypatch.setattr(f"{module}.datetime", Shifted)
    scheduler = Scheduler(clock)
    yield clock, scheduler
    scheduler.stop()


@pytest.mark.parametrize("jump", [-3600, 3600, -86_400 * 365])
def test_a_clock_that_jumps_stalls_nothing_and_bursts_nothing(jumpy, jump):
    clock, scheduler = jumpy
    runs = []
    scheduler.every(0.4, "tick", lambda: runs.append(time.monotonic()))
    scheduler.start()
    until(lambda: len(runs) >= 3)
    clock.shift_seconds = jump
    scheduler.check_clock()
    before = len(runs)
    until(lambda: len(runs) >= before + 4)
    gaps = [b - a for a, b in pairwise(runs)]
    assert max(gaps) <= 2 * 0.4 + 0.2
    assert len(runs) - before <= 6
    assert scheduler.jumps == 1


def test_the_watchdog_looks_by_itself(jumpy):
    clock, scheduler = jumpy
    scheduler.start()
    clock.shift_seconds = 100
    until(lambda: scheduler.jumps == 1, 3)


def test_a_job_that_takes_too_long_is_counted_as_skipped():
    scheduler = Scheduler(SystemClock())
    release = threading.Event()
    scheduler.every(0.1, "slow", lambda: release.wait(5))
    scheduler.start()
    until(lambda: scheduler.counts["slow"].skipped >= 2)
    release.set()
    scheduler.stop()


def test_a_job_that_fails_is_counted_and_runs_again():
    scheduler = Scheduler(SystemClock())
    scheduler.every(0.1, "bad", lambda: 1 / 0)
    scheduler.start()
    until(lambda: scheduler.counts["bad"].failed >= 2)
    scheduler.stop()
