"""A tick of 1,000 hosts through the whole pipeline with six live streams open; /ingest beside a slow Slack."""

from __future__ import annotations

import asyncio
import http.server
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from benchmarks.hot_path import RunningService, send_singles
from monitor_core.service.bootstrap import Service, build
from monitor_core.settings import Settings
from simulator.fleet import Fleet
from tests.storage.influxdb.stub import InfluxStub

HOSTS, TICKS, STREAMS = 1_000, 60, 6


def stream_all(service: Service, loop: asyncio.AbstractEventLoop, seen: list[int]) -> None:
    async def read() -> None:
        subscriber = service.live.subscribe("overview", None, loop)
        while (event := await subscriber.queue.get()) is not None:
            seen.append(len(event))

    for _ in range(STREAMS):
        loop.create_task(read())
    loop.run_forever()


def ticks(folder: Path) -> None:
    service = build(Settings(data_dir=folder, simulated_hosts=0, collect_this_host=False, train_at_hour=-1))
    service.start()
    seen: list[int] = []
    threading.Thread(target=stream_all, args=(service, asyncio.new_event_loop(), seen), daemon=True).start()
    now = time.time_ns() // 1_000_000
    fleet, took = Fleet(HOSTS, 7, now), []
    cpu = time.process_time()
    for i in range(TICKS):
        frame = fleet.frame(np.array([now + i * 3_000 - TICKS * 3_000]))
        started = time.perf_counter()
        position = service.pipeline.accept(frame).result(10)
        while service.storing.stored_position < position:
            time.sleep(0.001)
        took.append((time.perf_counter() - started) * 1000)
        time.sleep(0.15)
    cpu = (time.process_time() - cpu) / TICKS * 1000
    service.stop()
    print(f"tick of {HOSTS:,} hosts, accepted to stored, {STREAMS} streams: "
          f"p50 {np.quantile(took, 0.5):.0f} ms, p95 {np.quantile(took, 0.95):.0f} ms, CPU {cpu:.0f} ms a tick; "
          f"{len(seen)} events of {np.median(seen) / 1000:.0f} kB")  # fmt: skip


class SlowSlack(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        time.sleep(0.2)
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def slow_slack() -> None:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), SlowSlack)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    webhook = f"http://127.0.0.1:{server.server_address[1]}/hook"
    for name, environ in (("console", {}), ("Slack that takes 200 ms", {"SLACK_WEBHOOK_URL": webhook})):
        # a limit that every sample exceeds: each host has something to tell
        service = RunningService(LIMIT_CPU="10", **environ)
        seconds: list[float] = []
        send_singles(service, time.time_ns() // 1_000_000 - 200_000, seconds)
        service.close()
        p50, p99 = np.quantile(seconds, [0.5, 0.99]) * 1000
        print(f"/ingest, single posts, alerts by {name:24} p50 {p50:.1f} ms, p99 {p99:.1f} ms")


def slow_database() -> None:
    """The stub answers as InfluxDB does; what is compared is only that it takes longer."""
    for delay in (0.0, 0.01, 0.0, 0.01):
        with InfluxStub(delay=delay) as influx:
            names = {"TOKEN": "t", "ORG": "o", "BUCKET": "b", "URL": influx.url}
            service = RunningService(**{f"INFLUXDB_{name}": value for name, value in names.items()})
            seconds: list[float] = []
            send_singles(service, time.time_ns() // 1_000_000 - 200_000, seconds)
            service.close()
        p50, p99 = np.quantile(seconds, [0.5, 0.99]) * 1000
        print(f"/ingest, single posts, database {delay * 1000:.0f} ms slower  p50 {p50:.1f} ms, p99 {p99:.1f} ms")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        ticks(Path(folder))
    slow_slack()
    slow_database()


if __name__ == "__main__":
    main()
