"""What all detectors together cost: 1,000 hosts, a sample each 3 s, each with a model of its own past and the forest.

python -m benchmarks.scoring [--hosts 1000] [--ticks 200]
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from monitor_core.detection import training
from monitor_core.detection.detectors import neighbours
from monitor_core.detection.detectors.neighbours import HostModels
from monitor_core.detection.multiscale import WARM_BUCKETS
from monitor_core.detection.scorer import Scorer
from monitor_core.frame import Frame, make_frame
from monitor_core.metrics import CATALOGUE_TABLE

MINUTE_MS, STEP_MS, DAYS = 60_000, 3_000, 4
START = 1_800_000_000_000


def models(hosts: list[str], rng: np.random.Generator) -> HostModels:
    time_ms = START - np.arange(DAYS * 1_440, 0, -1) * MINUTE_MS
    fitted = []
    for _ in range(20):
        model = neighbours.fit(time_ms, 30 + rng.normal(0, 2, (len(time_ms), len(CATALOGUE_TABLE))), CATALOGUE_TABLE)
        assert model is not None
        fitted.append(model)
    return HostModels(hosts, neighbours.stacked([fitted[i % 20] for i in range(len(hosts))]))


def frame(hosts: list[str], at: int, rng: np.random.Generator) -> Frame:
    return make_frame(np.full(len(hosts), at), hosts, np.round(30 + rng.normal(0, 2, (len(hosts), 4)), 1))


def run(scorer: Scorer, hosts: list[str], ticks: int, rng: np.random.Generator) -> np.ndarray:
    """CPU seconds of each tick, once windows are full."""
    spent = np.zeros(ticks)
    scorer.score(frame(hosts, START, rng))
    scorer.state.minutes_seen[:] = WARM_BUCKETS
    for tick in range(ticks):
        one = frame(hosts, START + (tick + 1) * STEP_MS, rng)
        began = time.process_time()
        scorer.score(one)
        spent[tick] = time.process_time() - began
    return spent[ticks // 4 :]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scoring", description=__doc__)
    parser.add_argument("--hosts", type=int, default=1_000)
    parser.add_argument("--ticks", type=int, default=200)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    hosts = [f"host-{i:04d}" for i in range(options.hosts)]
    known = models(hosts, rng)
    quiet = [frame(hosts[:20], START + i * STEP_MS, rng) for i in range(300)]
    rows = [(part, np.ones(len(part), dtype=np.bool_)) for part in quiet]
    forest = training.fit(training.feature_table(rows, 15_000))
    print(f"CPU of scoring {options.hosts:,} hosts a tick, µs a host (median, 95 %)")
    for name, voice in (("fast detectors and forest", None), ("and the neighbours", known)):
        scorer = Scorer({"cpu": 85.0, "memory": 85.0, "disk": 90.0})
        scorer.use(forest, 1, voice)
        micro = run(scorer, hosts, options.ticks, rng) / options.hosts * 1e6
        print(f"  {name:26}{np.median(micro):6.1f}{np.quantile(micro, 0.95):8.1f}")
    size = sum(getattr(known.model, field).nbytes for field in known.model.__dataclass_fields__)
    state = len(scorer.state.to_bytes()) / options.hosts
    print(f"models {size / options.hosts / 1000:.0f} kB a host, state {state:.0f} B")


if __name__ == "__main__":
    main()
