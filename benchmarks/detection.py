"""Detection quality on simulated fleets: the production scoring path against the simulator's hidden truth.

python -m benchmarks.detection [--scenarios 3] [--hosts 10] [--hours 12] [--slow-hosts 16]
    [--normal-hosts 50] [--normal-days 7]
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Iterator

import numpy as np

from monitor_core.frame import Frame
from monitor_core.service import evaluation_table as table
from monitor_core.service.bootstrap import LEVELS_APART, build_judge
from monitor_core.service.evaluating import Trainer, Truth, Verdict, compare, play, together
from monitor_core.settings import Settings
from simulator.faults import CULPRITS, Fault, FaultKind
from simulator.fleet import Fleet
from simulator.load import MEMORY, load

STEP_MS, HOUR_MS = 3_000, 3_600_000
# a Monday, so that a week begins with its first working day
START = 1_799_625_600_000 // 86_400_000 * 86_400_000
TICKS_A_FRAME = 400
WARM_UP_MS = HOUR_MS


def frames(fleet: Fleet, start: int, stop: int) -> Iterator[Frame]:
    """As from real hosts: simulated ones have no budget for alerts."""
    for first in range(start, stop, TICKS_A_FRAME * STEP_MS):
        frame = fleet.frame(np.arange(first, min(first + TICKS_A_FRAME * STEP_MS, stop), STEP_MS))
        yield dataclasses.replace(frame, simulated=np.zeros_like(frame.simulated))


def truths(fleet: Fleet, start: int, stop: int) -> list[Truth]:
    return [
        Truth(fleet.names[f.host], f.start, min(f.stop, stop), f.kind.value, CULPRITS[f.kind], f.benign)
        for f in fleet.schedule.overlapping(start, stop)
    ]


def run(fleet: Fleet, hours: float, forest: bool) -> Verdict:
    """Every sample counts, the first ones of an empty monitor too."""
    settings = Settings(simulated_hosts=0, collect_this_host=False)
    judge = build_judge(settings)
    start, stop = START, START + int(hours * HOUR_MS)
    trainer = Trainer(judge, LEVELS_APART * STEP_MS) if forest else None
    judged = play(frames(fleet, start, stop), judge, STEP_MS, trainer)
    return compare(judged, truths(fleet, start, stop), STEP_MS)


def faulty(hosts: int, seed: int) -> Fleet:
    """A fault somewhere every ten minutes, rarely one in the first hour; the backup each night."""
    return Fleet(hosts, seed, START + WARM_UP_MS)


def normal(hosts: int, seed: int) -> Fleet:
    """Nothing ever goes wrong; no backup either."""
    fleet = Fleet(hosts, seed, START)
    fleet.schedule = dataclasses.replace(fleet.schedule, quiet=True)
    return fleet


def slow(hosts: int, seed: int) -> Fleet:
    """After a day and a half each host leaks 30 points in 6 h; three hours later its sensor stands still for two."""
    fleet = Fleet(hosts, seed, START)
    planned = []
    for host in range(hosts):
        leak = START + 36 * HOUR_MS + host * 10 * 60_000
        stuck = leak + 9 * HOUR_MS
        shown = load(seed, np.array([host]), np.array([stuck]))[0, MEMORY]
        planned.append(Fault(FaultKind.SLOW_LEAK, host, leak, leak + 6 * HOUR_MS))
        planned.append(Fault(FaultKind.STUCK_SENSOR, host, stuck, stuck + 2 * HOUR_MS, round(float(shown), 1)))
    fleet.schedule = dataclasses.replace(fleet.schedule, quiet=True, planned=tuple(planned))
    return fleet


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.detection", description=__doc__)
    parser.add_argument("--scenarios", type=int, default=3)
    parser.add_argument("--hosts", type=int, default=10)
    parser.add_argument("--hours", type=float, default=12)
    parser.add_argument("--slow-hosts", type=int, default=16)
    parser.add_argument("--normal-hosts", type=int, default=50)
    parser.add_argument("--normal-days", type=float, default=7)
    parser.add_argument("--without-forest", action="store_true")
    options = parser.parse_args()
    forest = not options.without_forest
    began = time.perf_counter()
    if options.scenarios:
        verdicts = [run(faulty(options.hosts, seed), options.hours, forest) for seed in range(1, options.scenarios + 1)]
        print(f"{options.scenarios} simulated fleets with faults, {options.hours:g} h each")
        print(table.text(together(verdicts)))
    if options.slow_hosts:
        print(f"\n{options.slow_hosts} simulated hosts with slow faults, 50 h")
        print(table.text(run(slow(options.slow_hosts, 5), 50, forest)))
    if options.normal_days:
        print(f"\n{options.normal_hosts} hosts without any fault, {options.normal_days:g} days")
        print(table.text(run(normal(options.normal_hosts, 11), options.normal_days * 24, forest)))
    print(f"\n{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
