"""GET /metrics, the last ten minutes of a host, beside the original's way on the same bucket of a real InfluxDB.

Needs INFLUXDB_URL, _TOKEN and _ORG; makes buckets of its own and removes them. Both sides are served processes that are
asked in turns; printed is the CPU time of each process per request (the database's is nobody's) and the time until the
answer is there. The original's way: a new client a request, every sample of the bucket pivoted by the server, a pandas
frame, lists. It knows no hosts: its answer grows with the fleet. This service answers for the host that is asked for,
from memory once it was asked before (docs/decisions/0012-recent-minutes.md), while a sample of every host arrives each
tick; what begins before the minutes in memory is asked of the database.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
import urllib.request
import uuid

import numpy as np
import orjson
import psutil
import uvicorn
from fastapi import FastAPI
from influxdb_client import InfluxDBClient

from benchmarks.hot_path import ROOT, RunningService, free_port
from monitor_core.storage.influxdb.connection import Connection

METRICS = ("cpu", "memory", "disk")
TICKS, STEP_MS, ROUNDS = 200, 3_000, 10  # ticks of ten minutes
FLEETS = {1: 100, 10: 40, 100: 8}  # hosts: requests a round
SERVER = ("INFLUXDB_URL", "INFLUXDB_TOKEN", "INFLUXDB_ORG")


def original(bucket: str) -> FastAPI:
    """GET /metrics as the original answered it."""
    api, (url, token, org) = FastAPI(), (os.environ[name] for name in SERVER)
    question = (
        f'from(bucket: "{bucket}") |> range(start: -10m) |> filter(fn: (r) => r._measurement == "system_metrics")'
        ' |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")'
    )

    @api.get("/metrics")
    async def metrics() -> dict[str, list[str] | list[float]]:
        found = InfluxDBClient(url=url, token=token, org=org).query_api().query_data_frame(question)
        return {"timestamps": [str(at) for at in found["_time"]]} | {key: found[key].tolist() for key in METRICS}

    return api


class Side:
    """A served process and what its answers cost; `samples` are in the last one."""

    def __init__(self, port: int, pid: int, query: str = "") -> None:
        self._url, self._usage = f"http://127.0.0.1:{port}/metrics{query}", psutil.Process(pid)
        self._cpu, self.samples, self.wall_ms = 0.0, 0, list[float]()
        while not self.samples:
            with contextlib.suppress(OSError):
                self._answer()
            time.sleep(0.2)

    def _answer(self) -> float:
        """ms until it is there."""
        started = time.perf_counter()
        self.samples = len(orjson.loads(urllib.request.urlopen(self._url, timeout=60).read()).get("cpu", []))
        return (time.perf_counter() - started) * 1000

    def ask(self, requests: int) -> None:
        self._cpu -= sum(self._usage.cpu_times()[:2])
        self.wall_ms += [self._answer() for _ in range(requests)]
        self._cpu += sum(self._usage.cpu_times()[:2])

    def cpu_ms(self) -> float:
        return self._cpu / len(self.wall_ms) * 1000


class Collectors:
    """A fleet whose first host has no name: its last ten minutes, then a tick at a time."""

    def __init__(self, port: int, hosts: int) -> None:
        self._url, self._rng = f"http://127.0.0.1:{port}/ingest", np.random.default_rng(0)
        self._names = [{}, *({"host": f"h{i}"} for i in range(1, hosts))]
        self._next = time.time_ns() // 1_000_000 - TICKS * STEP_MS
        for _ in range(TICKS):
            self.tick()
        time.sleep(5)

    def tick(self) -> None:
        rows = np.round(self._rng.normal(40, 4, (len(self._names), len(METRICS))), 1).tolist()
        body = [
            {"timestamp": self._next} | name | dict(zip(METRICS, row, strict=True))
            for name, row in zip(self._names, rows, strict=True)
        ]
        request = urllib.request.Request(self._url, orjson.dumps(body), method="POST")
        urllib.request.urlopen(request, timeout=10).read()
        self._next += STEP_MS


def compare(hosts: int, requests: int) -> None:
    own, bucket, port = {name: os.environ[name] for name in SERVER}, f"bench-{uuid.uuid4().hex[:8]}", free_port()
    ours = RunningService(**own, INFLUXDB_BUCKET=bucket)
    collectors = Collectors(ours.port, hosts)
    command = [sys.executable, "-m", "benchmarks.metrics_endpoint", "serve", str(port), bucket]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    sides = {
        "the original's way": Side(port, process.pid),
        "asked of the database": Side(ours.port, ours.pid, "?start=-16m"),
        "this service": Side(ours.port, ours.pid),
    }
    for _ in range(ROUNDS):
        collectors.tick()
        time.sleep(0.5)
        for side in sides.values():
            side.ask(requests)
    process.terminate()
    process.wait(10)
    ours.close()
    tell(hosts, sides)
    for suffix in ("", "_minute", "_half_hour", "_anomalies"):
        Connection(*own.values()).remove_bucket(f"{bucket}{suffix}")


def tell(hosts: int, sides: dict[str, Side]) -> None:
    print(f"{hosts} hosts")
    for name, side in sides.items():
        (middle, slow), cpu = np.quantile(side.wall_ms, (0.5, 0.95)), side.cpu_ms()
        print(f"  {name:21} CPU {cpu:6.1f} ms   wall p50 {middle:6.1f}, p95 {slow:6.1f} ms   {side.samples:,} samples")
    theirs, _, mine = (np.array([side.cpu_ms(), np.median(side.wall_ms)]) for side in sides.values())
    print("  1/{:.1f} of the CPU, 1/{:.1f} of the time".format(*theirs / mine))


if __name__ == "__main__":
    if "INFLUXDB_URL" not in os.environ:
        sys.exit("INFLUXDB_URL is not set: this benchmark needs a real server")
    if sys.argv[1:2] == ["serve"]:
        uvicorn.run(original(sys.argv[3]), port=int(sys.argv[2]), log_level="error")
    else:
        for fleet, requests in FLEETS.items():
            compare(fleet, requests)
