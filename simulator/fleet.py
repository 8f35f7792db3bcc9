"""Fleet: frames of all simulated hosts, at one moment or over a stretch of the past."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from monitor_core.frame import Frame
from simulator.faults import apply
from simulator.load import Whole, load
from simulator.scenarios import GroundTruth, Schedule, jitter_ms

ROLES = ("web", "web", "api", "db", "cache", "job")
ROWS_A_FRAME = 20_000


def host_names(hosts: int) -> tuple[str, ...]:
    """web-1, web-2, api-1, db-1, cache-1, job-1, web-3, …"""
    counts = dict.fromkeys(ROLES, 0)
    names = []
    for i in range(hosts):
        role = ROLES[i % len(ROLES)]
        counts[role] += 1
        names.append(f"{role}-{counts[role]}")
    return tuple(names)


class Fleet:
    """Hosts and their faults; everything follows from seed and time."""

    def __init__(self, hosts: int, seed: int, started_at: int) -> None:
        self.names = host_names(hosts)
        self.seed = seed
        backup_host = next((i for i, name in enumerate(self.names) if name.startswith("db-")), 0)
        self.schedule = Schedule(seed, hosts, started_at, backup_host)
        self._simulated = np.ones(hosts, dtype=np.bool_)

    def frame(self, times: Whole, interval_ms: int = 3_000) -> Frame:
        """Samples of all hosts at the given ticks, in order of time; silent hosts are left out."""
        hosts = len(self.names)
        code = np.tile(np.arange(hosts), len(times))
        time = np.repeat(times, hosts) + np.tile(jitter_ms(self.seed, hosts, interval_ms), len(times))
        values = load(self.seed, code, time)
        faults = self.schedule.overlapping(int(time[0]), int(time[-1]) + 1)
        sent = apply(values, code, time, faults)
        table = np.round(values, 1)
        return Frame(time[sent], self.names, code[sent].astype(np.int32), table[sent], self._simulated)


class SimulatedSource:
    """The fleet as a source of the service; writes the truth about each fault down when it begins."""

    name = "simulated fleet"
    simulated = True

    def __init__(self, fleet: Fleet, truth: GroundTruth) -> None:
        self._fleet, self._truth = fleet, truth

    def read(self, now_ms: int) -> Frame | None:
        self._truth.tell(self._fleet.schedule.overlapping(now_ms - 1, now_ms + 1), self._fleet.names, now_ms)
        frame = self._fleet.frame(np.array([now_ms]))
        return frame if len(frame) else None

    def history(self, start: int, stop: int, interval_ms: int) -> Iterator[Frame]:
        """What would have been sampled in [start, stop), in parts."""
        self._truth.tell(self._fleet.schedule.overlapping(start, stop), self._fleet.names, stop)
        span = max(1, ROWS_A_FRAME // len(self._fleet.names)) * interval_ms
        for first in range(start, stop, span):
            yield self._fleet.frame(np.arange(first, min(first + span, stop), interval_ms), interval_ms)


def simulated_source(hosts: int, seed: int, folder: Path, now_ms: int) -> SimulatedSource:
    """A fleet that goes on where it was when `folder` knows it already."""
    truth = GroundTruth(folder / "ground_truth.jsonl", seed, now_ms)
    return SimulatedSource(Fleet(hosts, seed, truth.started_at), truth)
