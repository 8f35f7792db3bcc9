"""CPU µs per sample ingested + scored + stored over HTTP, batched and single, beside the original's way in one run.

Both sides are whole service processes, measured by their own CPU time: ours is `python -m monitor_core`, the original's
is two requests a sample (benchmarks/original.py). Loopback only.
"""

from __future__ import annotations

import http.client
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import orjson
import psutil

from benchmarks.original import OriginalService
from tests.external import own_environ

ROOT = Path(__file__).parents[1]
BATCH, BATCHES = 1_000, 60
SINGLES, CONNECTIONS = 3_000, 16
ROUNDS = 3


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class RunningService:
    """The service on a free port and a folder of its own."""

    def __init__(self, **environ: str) -> None:
        self._folder = tempfile.mkdtemp()
        self.port = free_port()
        own = {"DATA_DIR": self._folder, "COLLECT_THIS_HOST": "false", "TRAIN_AT_HOUR": "-1", **environ}
        command = [sys.executable, "-m", "monitor_core", "--port", str(self.port)]
        self._process = subprocess.Popen(command, cwd=ROOT, env={**own_environ(), **own}, stderr=subprocess.DEVNULL)
        self.pid = self._process.pid
        self._usage = psutil.Process(self.pid)
        while not self._is_up():
            time.sleep(0.1)

    def _is_up(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True

    def cpu_seconds(self) -> float:
        times = self._usage.cpu_times()
        return times.user + times.system

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(20)
        shutil.rmtree(self._folder)


def post(connection: http.client.HTTPConnection, body: bytes) -> float:
    """Seconds until the answer."""
    started = time.perf_counter()
    connection.request("POST", "/ingest", body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    answer.read()
    assert answer.status == 200, answer.status
    return time.perf_counter() - started


def bodies(n: int, hosts: int, start: int) -> list[bytes]:
    """n ticks of `hosts` samples each, as lists of the original's bodies with a host."""
    rng = np.random.default_rng(0)
    values = np.round(rng.normal(40, 4, (n, hosts, 3)), 1).tolist()
    made = []
    for tick, rows in enumerate(values):
        at = start + tick * 1_000
        samples = [
            {"timestamp": at, "host": f"h{i}", "cpu": cpu, "memory": memory, "disk": disk}
            for i, (cpu, memory, disk) in enumerate(rows)
        ]
        made.append(orjson.dumps(samples if hosts > 1 else samples[0]))
    return made


def measure(service: RunningService, work: Callable[[RunningService, int], int], start: int) -> float:
    """CPU µs of the service per sample, its background work until the end of the second included."""
    before = service.cpu_seconds()
    samples = work(service, start)
    time.sleep(1.0)
    return (service.cpu_seconds() - before) / samples * 1e6


def send_batches(service: RunningService, start: int) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", service.port)
    for body in bodies(BATCHES, BATCH, start):
        post(connection, body)
    return BATCH * BATCHES


def send_singles(service: RunningService, start: int, seconds: list[float] | None = None) -> int:
    """From several connections at once, each its own host's samples in order."""

    def run(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", service.port)
        host = f'"host":"s{number}"'.encode()
        for body in bodies(SINGLES // CONNECTIONS, 1, start):
            took = post(connection, body.replace(b'"host":"h0"', host))
            if seconds is not None:
                seconds.append(took)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return SINGLES // CONNECTIONS * CONNECTIONS


def main() -> None:
    service = RunningService()
    original_service = OriginalService(free_port())
    start = time.time_ns() // 1_000_000 - 200_000
    rows: dict[str, list[float]] = {"original": [], "batches of 1,000": [], "single posts": []}
    for turn in range(ROUNDS):
        rows["original"].append(original_service.cpu_us())
        rows["batches of 1,000"].append(measure(service, send_batches, start + turn * 61_000))
        rows["single posts"].append(measure(service, send_singles, start + turn * 61_000))
    service.close()
    original_service.close()
    original = statistics.median(rows["original"])
    print("CPU µs per sample, ingested + scored + stored (median of 3)")
    for name, figures in rows.items():
        print(f"  {name:18} {statistics.median(figures):9.1f}   1/{original / statistics.median(figures):.0f}")


if __name__ == "__main__":
    main()
