"""python -m simulator: posts samples to BACKEND_URL/ingest.

`--profile original` (default) does what the original's script did: one host without a name, every 3 s, one sample in
ten anomalous. `--profile fleet` posts the whole simulated fleet in columns.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import numpy as np

from monitor_core.settings import load_settings_or_exit
from monitor_core.sources.push import PushClient, PushFailed, columns
from simulator.fleet import Fleet

ANOMALOUS_SHARE = 0.1
NORMAL = {"cpu": (20, 60), "memory": (30, 70), "disk": (40, 70)}
ANOMALOUS = {"cpu": (90, 100), "memory": (88, 98), "disk": (92, 99)}
MOST_WAITING = 300


def original_profile(seed: int | None) -> Iterator[dict[str, float]]:
    """CPU, memory and disk of one sample after the other, one in ten anomalous."""
    lots = random.Random(seed)  # noqa: S311 - a simulation, not a secret
    while True:
        ranges = ANOMALOUS if lots.random() < ANOMALOUS_SHARE else NORMAL
        yield {key: round(lots.uniform(*span), 2) for key, span in ranges.items()}


def original_bodies(seed: int | None) -> Iterator[dict[str, Any]]:
    """With the original's time stamp: naive, with microseconds, UTC."""
    for values in original_profile(seed):
        yield {"timestamp": datetime.now(UTC).replace(tzinfo=None).isoformat(timespec="microseconds"), **values}


def fleet_bodies(hosts: int, seed: int) -> Iterator[dict[str, Any]]:
    """The fleet as it is now, in columns."""
    fleet = Fleet(hosts, seed, time.time_ns() // 1_000_000)
    while True:
        yield columns(fleet.frame(np.array([time.time_ns() // 1_000_000])))


def post_all(
    bodies: Iterator[dict[str, Any]], client: PushClient, interval: float, count: int | None, stop: threading.Event
) -> None:
    """One body each interval. While the service is away bodies wait, the oldest are dropped beyond a few hundred."""
    waiting: deque[dict[str, Any]] = deque(maxlen=MOST_WAITING)
    sent = 0
    while not stop.is_set() and (count is None or sent < count):
        waiting.append(next(bodies))
        sent += 1
        try:
            while waiting:
                result = client.send_body(waiting[0])
                waiting.popleft()
                print(f"sent, {result.accepted} accepted, {result.rejected} refused", flush=True)
        except PushFailed as failure:
            print(f"{failure}; {len(waiting)} waiting", file=sys.stderr, flush=True)
        if count is None or sent < count:
            stop.wait(interval)


def main(arguments: list[str] | None = None) -> int:
    settings = load_settings_or_exit()
    parser = argparse.ArgumentParser(prog="python -m simulator", description=__doc__)
    parser.add_argument("--profile", choices=("original", "fleet"), default="original")
    parser.add_argument("--hosts", type=int, default=settings.simulated_hosts)
    parser.add_argument("--interval", type=float, default=settings.sample_interval_seconds)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--url", default=settings.backend_url)
    parser.add_argument("--count", type=int, default=None)
    options = parser.parse_args(arguments)
    if options.profile == "fleet" and options.hosts < 1:
        print("SIMULATED_HOSTS is 0: there is no fleet to simulate", flush=True)
        return 0
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    seed = settings.simulator_seed if options.seed is None else options.seed
    bodies = original_bodies(options.seed) if options.profile == "original" else fleet_bodies(options.hosts, seed)
    post_all(bodies, PushClient(options.url, settings.token()), options.interval, options.count, stop)
    return 0


if __name__ == "__main__":
    sys.exit(main())
