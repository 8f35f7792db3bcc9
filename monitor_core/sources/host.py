"""This machine's own CPU, memory, disk and disk I/O, by psutil."""

from __future__ import annotations

import logging
import math
import time
from collections import Counter
from collections.abc import Callable

import psutil

from monitor_core.frame import Frame, make_frame
from monitor_core.metrics import METRICS

log = logging.getLogger("monitor.host")

Sensor = Callable[[], float]


class DiskBusy:
    """Percent of the time since the last call in which the busiest disk was busy; NaN where that is not counted."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._before: tuple[float, dict[str, float]] | None = None

    def __call__(self) -> float:
        counters = psutil.disk_io_counters(perdisk=True) or {}
        busy = {name: float(c.busy_time) for name, c in counters.items() if hasattr(c, "busy_time")}
        now = self._monotonic()
        before, self._before = self._before, (now, busy)
        if before is None or not busy or now <= before[0]:
            return math.nan
        spent = [busy[name] - before[1][name] for name in busy if name in before[1]]
        return min(100.0, max(0.0, max(spent, default=math.nan) / (now - before[0]) / 10))


class CpuBusy:
    """Percent of the time since the last call in which the processors were busy; NaN when no time has passed.

    psutil.cpu_percent() remembers the last call per thread and answers 0 to a thread that asks for the first time, as
    any thread of the scheduler's pool may.
    """

    def __init__(self) -> None:
        self._before: tuple[float, float] | None = None

    def __call__(self) -> float:
        times = psutil.cpu_times()
        # guests are counted in user and nice already
        total = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
        idle = times.idle + getattr(times, "iowait", 0.0)
        before, self._before = self._before, (total, idle)
        if before is None or total <= before[0]:
            return math.nan
        return min(100.0, max(0.0, 100 * (1 - (idle - before[1]) / (total - before[0]))))


def sensors(disk_path: str) -> dict[str, Sensor]:
    """One function per metric, percent."""
    return {
        "cpu": CpuBusy(),
        "memory": lambda: psutil.virtual_memory().percent,
        "disk": lambda: psutil.disk_usage(disk_path).percent,
        "disk_io": DiskBusy(),
    }


class HostSource:
    """Reads all sensors at once. The first reading is discarded: rates need a reading before them.

    A sensor that fails leaves a gap and counts in `failures`; a zero would look like a healthy idle machine.
    """

    name = "this machine"
    simulated = False

    def __init__(self, host: str, disk_path: str, read_by: dict[str, Sensor] | None = None) -> None:
        self._host = host
        self._sensors = read_by or sensors(disk_path)
        self._primed = False
        self.failures: Counter[str] = Counter()

    def read(self, now_ms: int) -> Frame | None:
        values = [self._value(key) for key in METRICS]
        if not self._primed:
            self._primed = True
            return None
        if all(math.isnan(value) for value in values):
            return None
        return make_frame([now_ms], [self._host], [values])

    def _value(self, key: str) -> float:
        try:
            return round(float(self._sensors[key]()), 1)
        except Exception as error:  # noqa: BLE001 - psutil raises what the platform raises; one dead sensor must not end the others
            if not self.failures[key]:
                log.warning("the %s sensor failed (%s: %s); it leaves a gap", key, type(error).__name__, error)
            self.failures[key] += 1
            return math.nan
