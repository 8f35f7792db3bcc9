"""Ticks of 1,000 hosts alone, and while a version is trained and compared: how much later are they stored?"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np

from monitor_core.service.bootstrap import Service, build
from monitor_core.settings import Settings
from simulator.fleet import Fleet

HOSTS, PAST_MINUTES, TICKS, EVERY_SECONDS = 1_000, 70, 60, 0.3
SCORED, STORED = "scored", "stored"


def fill(service: Service, fleet: Fleet, now: int) -> None:
    """Over an hour of history: less would be too little to train on for so many hosts."""
    step = 3_000
    for at in range(now - PAST_MINUTES * 60_000, now, 20 * step):
        position = service.pipeline.accept(fleet.frame(at + np.arange(20) * step)).result(60)
        while service.storing.stored_position < position:
            time.sleep(0.01)
    service.maintain()


def tick(service: Service, fleet: Fleet, at: int) -> dict[str, float]:
    """ms from accepting a tick until it is scored, and until it is stored."""
    frame = fleet.frame(np.array([at]))
    started = time.perf_counter()
    position = service.pipeline.accept(frame).result(30)
    took = {}
    for name, done in (
        (SCORED, lambda: service.pipeline.scored_position), (STORED, lambda: service.storing.stored_position)
    ):  # fmt: skip
        while done() < position:
            time.sleep(0.0005)
        took[name] = (time.perf_counter() - started) * 1000
    return took


def say(what: str, rows: list[dict[str, float]]) -> None:
    for name in (SCORED, STORED):
        p50, p99, most = np.quantile([row[name] for row in rows], [0.5, 0.99, 1.0])
        print(f"{what:34} accepted to {name}: p50 {p50:5.1f} ms, p99 {p99:5.1f} ms, max {most:5.1f} ms (n={len(rows)})")


def run(folder: Path) -> None:
    service = build(Settings(data_dir=folder, simulated_hosts=0, collect_this_host=False, train_at_hour=-1))
    service.start()
    service.scheduler.stop()
    now = time.time_ns() // 1_000_000 - 300_000
    fleet = Fleet(HOSTS, 7, now - PAST_MINUTES * 60_000)
    fill(service, fleet, now)
    service.learning.start("first")
    service.learning.wait(600)
    now += 3_000
    alone, beside, steps = [], [], Counter[str]()
    for _ in range(2):
        for _ in range(TICKS // 2):
            alone.append(tick(service, fleet, now := now + 1_000))
            time.sleep(EVERY_SECONDS)
        service.learning.start("by hand")
        while service.learning.job is not None and service.learning.job.state == "running":
            step = service.learning.job.step
            beside.append(tick(service, fleet, now := now + 1_000))
            steps[step] += 1
            if "-v" in sys.argv:
                print(step, {name: round(ms) for name, ms in beside[-1].items()})
            time.sleep(EVERY_SECONDS)
        print(service.learning.job)
    say("alone", alone)
    say("while a version is trained", beside)
    print("ticks in each step of the training:", dict(steps), "threads:", threading.active_count())
    service.stop()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        run(Path(folder))


if __name__ == "__main__":
    main()
