"""Scenarios: which fault comes when on which host (pure), and the file that tells the truth about it afterwards."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from simulator.faults import LASTS_MS, MINUTE_MS, Fault, FaultKind
from simulator.load import DAY_MS, uniform

FIRST_AFTER_MS = 75_000
EVERY_MS = 10 * MINUTE_MS
HISTORY_EVERY_MS = 360 * MINUTE_MS
QUIET_BEFORE_MS = 20 * MINUTE_MS
BACKUP_AT_MS = 2 * 60 * MINUTE_MS
REAL = (FaultKind.CPU_SATURATION, FaultKind.MEMORY_LEAK, FaultKind.DISK_FILL, FaultKind.SILENCE)


@dataclass(frozen=True, slots=True)
class Schedule:
    """All faults of a fleet of `hosts`, counted from its first start (ms UTC); `backup_host` has the backups.
    A `quiet` one has neither faults nor backups, only the `planned` ones."""

    seed: int
    hosts: int
    started_at: int
    backup_host: int = 0
    quiet: bool = False
    planned: tuple[Fault, ...] = ()

    def overlapping(self, start: int, stop: int) -> list[Fault]:
        """Faults that touch [start, stop), in order of time."""
        found = [*self.planned]
        if not self.quiet:
            found += [*self._live(start, stop), *self._past(start, stop), *self._backups(start, stop)]
        return sorted((f for f in found if f.start < stop and f.stop > start), key=lambda f: f.start)

    def _live(self, start: int, stop: int) -> list[Fault]:
        first = self.started_at + FIRST_AFTER_MS
        numbers = range(max(0, (start - first) // EVERY_MS - 2), max(0, (stop - first) // EVERY_MS + 1))
        return [self._fault(number, first + number * EVERY_MS) for number in numbers]

    def _past(self, start: int, stop: int) -> list[Fault]:
        last = self.started_at - QUIET_BEFORE_MS - max(LASTS_MS.values())
        slots = range(start // HISTORY_EVERY_MS - 1, stop // HISTORY_EVERY_MS + 1)
        spread = [int(float(uniform(self.seed, 7, slot)) * (HISTORY_EVERY_MS - 30 * MINUTE_MS)) for slot in slots]
        begins = [slot * HISTORY_EVERY_MS + shift for slot, shift in zip(slots, spread, strict=True)]
        return [self._fault(-1 - slot, at) for slot, at in zip(slots, begins, strict=True) if at < last]

    def _backups(self, start: int, stop: int) -> list[Fault]:
        days = range(start // DAY_MS - 1, stop // DAY_MS + 1)
        lasts = LASTS_MS[FaultKind.NIGHTLY_BACKUP]
        begins = [day * DAY_MS + BACKUP_AT_MS for day in days]
        return [Fault(FaultKind.NIGHTLY_BACKUP, self.backup_host, at, at + lasts) for at in begins]

    def _fault(self, number: int, at: int) -> Fault:
        """Live ones take turns, beginning with a CPU that everybody sees; hosts, and kinds of the past, come by lot."""
        lot = int(float(uniform(self.seed, 8, number)) * len(REAL))
        kind = REAL[number % len(REAL) if number >= 0 else lot]
        # two of them run at once at most, and never on one host: neighbours in time take different hosts
        lots = max(1, self.hosts // 3)
        host = (int(float(uniform(self.seed, 9, number)) * lots) * 3 + number % 3) % self.hosts
        return Fault(kind, host, at, at + LASTS_MS[kind])


class GroundTruth:
    """A file with one line a fault. Its first line keeps when the fleet first started, so that a restart goes on."""

    def __init__(self, path: Path, seed: int, now: int) -> None:
        self._path = path
        self._written: set[tuple[str, int, int]] = set()
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        head = json.loads(lines[0]) if lines else None
        if head is None or head["seed"] != seed:
            head = {"started_at": now, "seed": seed}
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(head) + "\n", encoding="utf-8")
            lines = []
        self.started_at = int(head["started_at"])
        for line in lines[1:]:
            row = json.loads(line)
            self._written.add((row["kind"], row["number"], row["from"]))

    def tell(self, faults: list[Fault], names: tuple[str, ...], until: int) -> None:
        """Write down the faults that have begun by `until`, each once."""
        fresh = [f for f in faults if f.start <= until and (f.kind.value, f.host, f.start) not in self._written]
        if not fresh:
            return
        with self._path.open("a", encoding="utf-8") as file:
            for fault in fresh:
                self._written.add((fault.kind.value, fault.host, fault.start))
                row = {"kind": fault.kind, "host": names[fault.host], "number": fault.host, "from": fault.start}
                file.write(json.dumps(row | {"to": fault.stop, "benign": fault.benign}) + "\n")


def jitter_ms(seed: int, hosts: int, interval_ms: int) -> np.ndarray:
    """How many ms after the tick each host takes its sample, always the same."""
    return (uniform(seed, 6, np.arange(hosts)) * min(40, interval_ms / 10)).astype(np.int64)
