"""Faults: what goes wrong, and what it does to a host's values (pure)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from simulator.load import CPU, DISK, DISK_IO, MEMORY, Table, Whole

MINUTE_MS = 60_000


class FaultKind(StrEnum):
    CPU_SATURATION = "cpu_saturation"
    MEMORY_LEAK = "memory_leak"
    DISK_FILL = "disk_fill"
    SILENCE = "silence"
    NIGHTLY_BACKUP = "nightly_backup"
    SLOW_LEAK = "slow_leak"
    STUCK_SENSOR = "stuck_sensor"
    CPU_BUSY = "cpu_busy"
    MEMORY_JUMP = "memory_jump"
    DISK_JUMP = "disk_jump"
    DISK_IO_STORM = "disk_io_storm"


# the last four come by plan only, in benchmarks
LASTS_MS = {
    FaultKind.CPU_SATURATION: 4 * MINUTE_MS,
    FaultKind.MEMORY_LEAK: 15 * MINUTE_MS,
    FaultKind.DISK_FILL: 12 * MINUTE_MS,
    FaultKind.SILENCE: 2 * MINUTE_MS,
    FaultKind.NIGHTLY_BACKUP: 22 * MINUTE_MS,
    FaultKind.CPU_BUSY: 5 * MINUTE_MS,
    FaultKind.MEMORY_JUMP: 6 * MINUTE_MS,
    FaultKind.DISK_JUMP: 10 * MINUTE_MS,
    FaultKind.DISK_IO_STORM: 3 * MINUTE_MS,
}
# which metrics an explanation may name first
CULPRITS: dict[FaultKind, tuple[str, ...]] = {
    FaultKind.CPU_SATURATION: ("cpu",),
    FaultKind.MEMORY_LEAK: ("memory",),
    FaultKind.DISK_FILL: ("disk", "disk_io"),
    FaultKind.SILENCE: (),
    FaultKind.NIGHTLY_BACKUP: ("disk_io",),
    FaultKind.SLOW_LEAK: ("memory",),
    FaultKind.STUCK_SENSOR: ("memory",),
    FaultKind.CPU_BUSY: ("cpu",),
    FaultKind.MEMORY_JUMP: ("memory",),
    FaultKind.DISK_JUMP: ("disk",),
    FaultKind.DISK_IO_STORM: ("disk_io",),
}
# A program that runs wild, one that takes memory at once, a dump that somebody left, a disk that is read and read:
# how many points come on top, after how many ms.
ADDED = {
    FaultKind.CPU_BUSY: (CPU, 40.0, 1),
    FaultKind.MEMORY_JUMP: (MEMORY, 25.0, 6_000),
    FaultKind.DISK_JUMP: (DISK, 20.0, 6_000),
    FaultKind.DISK_IO_STORM: (DISK_IO, 60.0, 1),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of one host in [start, stop), ms UTC. A benign one is nothing that anybody should be woken for.

    `held`: what a stuck sensor shows.
    """

    kind: FaultKind
    host: int
    start: int
    stop: int
    held: float = 0.0

    @property
    def benign(self) -> bool:
        return self.kind is FaultKind.NIGHTLY_BACKUP


def apply(values: Table, host: Whole, time: Whole, faults: Iterable[Fault]) -> npt.NDArray[np.bool_]:
    """Change `values` [n, 4] in place; returns which samples are sent at all [n]."""
    sent = np.ones(len(time), dtype=np.bool_)
    for fault in faults:
        rows = np.flatnonzero((host == fault.host) & (time >= fault.start) & (time < fault.stop))
        if fault.kind is FaultKind.SILENCE:
            sent[rows] = False
        elif len(rows):
            share = (time[rows] - fault.start) / (fault.stop - fault.start)
            values[rows] = _changed(fault, values[rows], share)
    return sent


def _changed(fault: Fault, values: Table, share: Table) -> Table:
    kind, out = fault.kind, values.copy()
    # how the healthy values waver stays visible on top of the fault
    tremble = values - values.mean(axis=0)
    if kind is FaultKind.CPU_SATURATION:
        ramp = np.minimum(share / 0.03, 1.0)
        out[:, CPU] += (97 + 0.3 * tremble[:, CPU] - out[:, CPU]) * ramp
        out[:, DISK_IO] += 6 * ramp
    elif kind is FaultKind.MEMORY_LEAK:
        out[:, MEMORY] += (96 - out[:, MEMORY]) * np.minimum(share / 0.93, 1.0)
        out[:, DISK_IO] += 25 * np.maximum(share - 0.8, 0) / 0.2
    elif kind is FaultKind.DISK_FILL:
        out[:, DISK] += (96 - out[:, DISK]) * np.minimum(share / 0.9, 1.0)
        out[:, DISK_IO] += 30 * np.minimum(share / 0.05, 1.0)
    elif kind is FaultKind.NIGHTLY_BACKUP:
        ramp = np.minimum(np.minimum(share, 1 - share) / 0.04, 1.0)
        out[:, DISK_IO] += (68 + 2 * tremble[:, DISK_IO] - out[:, DISK_IO]) * ramp
        out[:, CPU] += 8 * ramp
    elif kind is FaultKind.SLOW_LEAK:
        out[:, MEMORY] += 30 * share
    elif kind is FaultKind.STUCK_SENSOR:
        out[:, MEMORY] = fault.held
    elif kind in ADDED:
        metric, points, rises_ms = ADDED[kind]
        out[:, metric] += points * np.minimum((share * (fault.stop - fault.start) + 1) / rises_ms, 1.0)
    return np.clip(out, 0.0, 100.0)
