"""What the dashboard role costs: the same answers and events from the service itself and through the gateway.

`python -m benchmarks.hop [requests]` starts both on free ports, with an hour of 50 hosts. Requests alternate between
the two, on one kept connection each; an event is late by the time between its arrivals on both streams.
"""

from __future__ import annotations

import http.client
import sys
import tempfile
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import psutil

from monitor_core.sources.push import PushClient
from simulator.fleet import Fleet
from tests.browser.conftest import SERVICE, Product

PATHS = ("/api/state", "/api/v1/series?host=web-1")
HOSTS, EVENTS = 50, 40


def connect(product: Product) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(urlsplit(product.url).netloc)


def ask(connection: http.client.HTTPConnection, path: str) -> tuple[float, int]:
    """Milliseconds, bytes."""
    began = time.perf_counter()
    connection.request("GET", path)
    size = len(connection.getresponse().read())
    return (time.perf_counter() - began) * 1000, size


def listen(product: Product, arrivals: list[float]) -> None:
    connection = connect(product)
    connection.request("GET", "/api/stream")
    answer = connection.getresponse()
    while line := answer.readline():
        if line == b"event: fleet\n":
            arrivals.append(time.perf_counter())


def compare_requests(service: Product, pages: Product, n: int) -> None:
    direct, through = connect(service), connect(pages)
    for path in PATHS:
        pairs = [(ask(direct, path), ask(through, path)) for _ in range(n + 20)][20:]
        (p50, p95), (hop50, hop95) = (np.quantile([pair[i][0] for pair in pairs], [0.5, 0.95]) for i in (0, 1))
        print(
            f"{path}, {pairs[0][0][1] / 1000:.0f} kB: direct p50 {p50:.2f} ms, p95 {p95:.2f};"
            f" gateway p50 {hop50:.2f} ms, p95 {hop95:.2f}; added at p50 {hop50 - p50:.2f} ms"
        )


def compare_events(service: Product, pages: Product, fleet: Fleet) -> None:
    arrivals: tuple[list[float], list[float]] = ([], [])
    for product, list_of_it in zip((service, pages), arrivals, strict=True):
        threading.Thread(target=listen, args=(product, list_of_it), daemon=True).start()
    time.sleep(1)
    client = PushClient(service.url)
    for _ in range(EVENTS):
        client.send(fleet.frame(np.array([time.time_ns() // 1_000_000])))
        time.sleep(0.2)
    time.sleep(0.5)
    late = (np.array(arrivals[1]) - np.array(arrivals[0])) * 1000
    print(f"an event through the relay: p50 {np.median(late):.2f} ms, p95 {np.quantile(late, 0.95):.2f} ms later")


def main() -> None:
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    with tempfile.TemporaryDirectory() as folder:
        service = Product(Path(folder) / "service", SERVICE, COLLECT_THIS_HOST="false", TRAIN_AT_HOUR="-1")
        pages = Product(Path(folder) / "pages", MONITOR_ROLE="dashboard", BACKEND_URL=service.url)
        now = time.time_ns() // 1_000_000
        fleet = Fleet(HOSTS, 7, now - 3_600_000)
        client = PushClient(service.url, timeout=30)
        for start in range(now - 3_600_000, now, 300_000):
            client.send(fleet.frame(np.arange(start, start + 300_000, 3_000)))
        time.sleep(5)
        compare_requests(service, pages, n)
        compare_events(service, pages, fleet)
        sizes = [psutil.Process(product.pid).memory_info().rss / 1e6 for product in (service, pages)]
        print(f"memory: service {sizes[0]:.0f} MB, pages {sizes[1]:.0f} MB")
        pages.stop()
        service.stop()


if __name__ == "__main__":
    main()
