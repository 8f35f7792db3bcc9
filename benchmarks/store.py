"""The embedded store: CPU µs per sample of write and compaction, queries of a host page, bytes on disk."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from monitor_core.frame import Frame
from monitor_core.scores import empty_scores
from monitor_core.storage.sqlite import SqliteStore

DAY_MS = 86_400_000
START = 1_800_000_000_000 // DAY_MS * DAY_MS
HOSTS, TICKS = 1_000, 400
MONTH_HOSTS, MONTH_STEP_MS = 100, 30_000


def frame(hosts: int, times: np.ndarray, seed: int) -> Frame:
    rng = np.random.default_rng(seed)
    n = hosts * len(times)
    values = np.round(np.clip(40 + rng.normal(0, 4, (n, 4)), 0, 100), 1)
    names = tuple(f"h{i}" for i in range(hosts))
    code = np.tile(np.arange(hosts, dtype=np.int32), len(times))
    return Frame(np.repeat(times, hosts), names, code, values, np.zeros(hosts, np.bool_))


def quantiles(work: Callable[[int], object], n: int = 60) -> str:
    """Median and 95 % of the milliseconds of n calls."""
    took = []
    for i in range(n):
        started = time.perf_counter()
        work(i)
        took.append((time.perf_counter() - started) * 1000)
    return f"p50 {np.quantile(took, 0.5):6.1f} ms   p95 {np.quantile(took, 0.95):6.1f} ms"


def ingest(folder: Path) -> None:
    store = SqliteStore(folder / "ingest.sqlite")
    ticks = [frame(HOSTS, np.array([START + i * 3_000]), i) for i in range(TICKS)]
    scores = empty_scores(HOSTS, 4)
    started = time.process_time()
    commits = quantiles(lambda i: store.write(ticks[i], scores), TICKS)
    written = time.process_time()
    store.maintain(START + TICKS * 3_000 + DAY_MS)
    ended = time.process_time()
    samples = HOSTS * TICKS
    print(f"write a tick of 1,000 hosts     {commits}")
    print(f"  CPU per sample: write {(written - started) / samples * 1e6:.2f} µs, "
          f"chunks and rollups {(ended - written) / samples * 1e6:.2f} µs")  # fmt: skip
    stop = START + TICKS * 3_000
    print(f"one host, 20 min raw            {quantiles(lambda i: store.series(f'h{i}', START, stop, 2_000))}")
    print(f"latest of 1,000 hosts           {quantiles(lambda _: store.latest(0))}")
    print(f"fleet of 1,000 hosts, 1 h       {quantiles(lambda _: store.fleet(START, START + 3_600_000, 300), 5)}")
    kept = {line.name: line for line in store.health().kept}
    size = sum(line.bytes or 0 for line in kept.values())
    print(f"on disk                         {size / samples:.1f} bytes a sample of four metrics, rollups included")
    store.close()


def month(folder: Path) -> None:
    store = SqliteStore(folder / "month.sqlite", raw_days=40)
    for day in range(30):
        times = np.arange(START + day * DAY_MS, START + (day + 1) * DAY_MS, MONTH_STEP_MS)
        part = frame(MONTH_HOSTS, times, day)
        store.write(part, empty_scores(len(part), 4))
        store.maintain(START + (day + 2) * DAY_MS)
    stop = START + 30 * DAY_MS
    for name, span in (("30 days", 30), ("7 days", 7), ("24 hours", 1)):
        figures = quantiles(lambda i, span=span: store.series(f"h{i % MONTH_HOSTS}", stop - span * DAY_MS, stop, 1_000))
        tier = store.series("h0", stop - span * DAY_MS, stop, 1_000).tier
        print(f"one of {MONTH_HOSTS} hosts, {name:9}      {figures}   from {tier}")
    store.close()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        ingest(Path(folder))
        month(Path(folder))


if __name__ == "__main__":
    main()
