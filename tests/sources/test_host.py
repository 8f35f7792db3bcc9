import math
import threading
from collections import namedtuple

import psutil

from monitor_core.sources.host import CpuBusy, HostSource
from tests.builders import T0

Times = namedtuple("Times", "user nice system idle")


def broken() -> float:
    raise OSError("no sensor")


def sensors(**changes):
    return {"cpu": lambda: 12.34, "memory": lambda: 50.0, "disk": lambda: 60.0, "disk_io": lambda: 1.0} | changes


def test_the_first_reading_is_discarded():
    source = HostSource("me", "/", sensors())
    assert source.read(T0) is None
    assert source.read(T0 + 3000).values[0].tolist() == [12.3, 50, 60, 1]


def test_a_dead_sensor_is_a_gap_and_a_count_and_never_a_zero():
    source = HostSource("me", "/", sensors(cpu=broken))
    source.read(T0)
    frame = source.read(T0 + 3000)
    assert math.isnan(frame.values[0, 0])
    assert source.failures["cpu"] == 2


def test_no_sensor_at_all_is_no_sample():
    source = HostSource("me", "/", dict.fromkeys(sensors(), broken))
    source.read(T0)
    assert source.read(T0 + 3000) is None


def test_this_machine_can_really_be_measured():
    source = HostSource("me", "/")
    source.read(T0)
    values = source.read(T0 + 3000).values[0]
    assert 0 < values[1] <= 100
    assert 0 < values[2] <= 100


def test_the_processors_are_as_busy_as_they_were_whichever_thread_asks(monkeypatch):
    times = iter(
        [(100.0, 0.0, 0.0, 100.0), (150.0, 0.0, 0.0, 150.0), (240.0, 0.0, 0.0, 160.0), (240.0, 0.0, 0.0, 160.0)]
    )
    monkeypatch.setattr(psutil, "cpu_times", lambda: Times(*next(times)))
    busy, seen = CpuBusy(), []
    for _ in range(4):
        thread = threading.Thread(target=lambda: seen.append(busy()))
        thread.start()
        thread.join()
    assert math.isnan(seen[0])
    assert seen[1:3] == [50.0, 90.0]
    assert math.isnan(seen[3])
