"""Detection quality where what is normal was recorded: real samples of a machine with faults put into them.

python -m benchmarks.injected [recording.csv …] [--copies 10] [--without-limits] [--processors 8]

A recording has the columns time (ms UTC), cpu, memory, disk, disk_io; without one, those in benchmarks/recordings are
taken, and ten simulated hosts that count as real. Each copy of a recording gets other faults at other times. A fault
of the CPU is put only where there is room for it: on a processor that is busy anyway nobody could see it.
`--processors` is the same work on so many times the processors.

Each is judged twice: from the first sample on, and from the second hour on, when there is something to compare with.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from monitor_core.frame import Frame
from monitor_core.metrics import METRICS
from monitor_core.service import evaluation_table as table
from monitor_core.service.bootstrap import LEVELS_APART, build_judge
from monitor_core.service.evaluating import Trainer, Truth, Verdict, compare, play
from monitor_core.settings import Settings
from simulator.faults import ADDED, CULPRITS, LASTS_MS, Fault, FaultKind, apply
from simulator.load import CPU, Table, Whole, load

RECORDINGS = Path(__file__).parent / "recordings"
STEP_MS, HOUR_MS = 3_000, 3_600_000
FIRST_MS, EVERY_MS = HOUR_MS, 40 * 60_000  # nothing in the first hour, then one now and then
KINDS = (FaultKind.CPU_SATURATION, FaultKind.MEMORY_LEAK, FaultKind.DISK_FILL, FaultKind.SILENCE, *ADDED)
NEEDS_ROOM = {FaultKind.CPU_SATURATION, FaultKind.CPU_BUSY}
ROOM = 45.0
TICKS_A_FRAME = 400


@dataclass(frozen=True, slots=True, eq=False)
class Background:
    """Healthy samples of some hosts: `time` [n] ms UTC, the same for all, `values` [hosts, n, 4]."""

    name: str
    time: Whole
    values: Table

    def frames(self, faults: list[Fault]) -> Iterator[Frame]:
        hosts = len(self.values)
        names = tuple(f"host-{i}" for i in range(hosts))
        for first in range(0, len(self.time), TICKS_A_FRAME):
            part = self.time[first : first + TICKS_A_FRAME]
            code = np.tile(np.arange(hosts), len(part))
            at = np.repeat(part, hosts)
            values = self.values[:, first : first + len(part)].transpose(1, 0, 2).reshape(-1, len(METRICS)).copy()
            sent = apply(values, code, at, faults)
            real = np.zeros(hosts, dtype=np.bool_)
            yield Frame(at[sent], names, code[sent].astype(np.int32), np.round(values[sent], 1), real)


def recorded(path: Path, copies: int, processors: float = 1.0) -> Background:
    """The same hours for each copy; holes in the recording are closed, so that each host speaks on."""
    found = pd.read_csv(path)
    at = int(found["time"].iloc[0]) + STEP_MS * np.arange(len(found))
    values = found[list(METRICS)].to_numpy(np.float64)
    values[:, CPU] /= processors
    return Background(f"{path.name}, {copies} times", at, np.repeat(values[None], copies, axis=0))


def simulated(hosts: int, hours: float, seed: int = 21) -> Background:
    """What the simulator's hosts do when all is well."""
    at = 1_799_625_600_000 // 86_400_000 * 86_400_000 + STEP_MS * np.arange(int(hours * HOUR_MS / STEP_MS))
    values = np.stack([load(seed, np.full(len(at), host), at) for host in range(hosts)])
    return Background(f"{hosts} simulated hosts, {hours:g} h", at, values)


def faults_for(background: Background, seed: int) -> list[Fault]:
    """For each host one about every 40 minutes; kinds take turns, times come by lot."""
    rng = np.random.default_rng(seed)
    found, start, stop = [], int(background.time[0]), int(background.time[-1])
    for host, values in enumerate(background.values):
        kinds = rng.permutation(len(KINDS))
        for number, begin in enumerate(range(start + FIRST_MS, stop - EVERY_MS + 1, EVERY_MS)):
            kind = KINDS[kinds[number % len(KINDS)]]
            at = begin + int(rng.uniform(0, EVERY_MS - LASTS_MS[kind] - 10 * 60_000))
            rows = np.searchsorted(background.time, (at - 10 * 60_000, at + LASTS_MS[kind]))
            if kind not in NEEDS_ROOM or values[rows[0] : rows[1], CPU].mean() < ROOM:
                found.append(Fault(kind, host, at, at + LASTS_MS[kind]))
    return found


def judge(background: Background, settings: Settings, seed: int) -> tuple[Verdict, Verdict]:
    """Through a monitor that starts empty, as the service would have seen it: all, and what follows the first hour."""
    faults = faults_for(background, seed)
    judge = build_judge(settings)
    judged = play(background.frames(faults), judge, STEP_MS, Trainer(judge, LEVELS_APART * STEP_MS))
    truths = [Truth(f"host-{f.host}", f.start, f.stop, f.kind.value, CULPRITS[f.kind]) for f in faults]
    second = dict.fromkeys(judged.hosts, int(background.time[0]) + HOUR_MS)
    return compare(judged, truths, STEP_MS), compare(judged, truths, STEP_MS, second)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.injected", description=__doc__)
    parser.add_argument("recordings", nargs="*", type=Path)
    parser.add_argument("--copies", type=int, default=10)
    parser.add_argument("--hours", type=float, default=12)
    parser.add_argument("--without-limits", action="store_true")
    parser.add_argument("--processors", type=float, default=1.0)
    options = parser.parse_args()
    limits = {f"limit_{key}": None for key in METRICS} if options.without_limits else {}
    settings = Settings(simulated_hosts=0, collect_this_host=False, **limits)
    began = time.perf_counter()
    paths = options.recordings or sorted(RECORDINGS.glob("*.csv*"))
    backgrounds = [recorded(path, options.copies, options.processors) for path in paths]
    if not options.recordings:
        backgrounds.append(simulated(10, options.hours))
    for seed, background in enumerate(backgrounds):
        print(f"{background.name}, {len(background.time) * STEP_MS / HOUR_MS:.1f} h each")
        whole, later = judge(background, settings, seed)
        print(f"{table.text(whole)}\n\nfrom the second hour on\n{table.text(later)}\n", flush=True)
    print(f"{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
