"""Half an hour without the database at 500 samples a second, compressed, with a kill -9 in the middle of it."""

import json
import os
import time
import urllib.error
import urllib.request

import psutil
import pytest

from tests.crash.test_kill import Killable
from tests.storage.influxdb.stub import InfluxStub, refusal

pytestmark = pytest.mark.crash
MINUTES = int(os.environ.get("OUTAGE_MINUTES", "30"))
RATE, PER_POST = 500, 2_000
BEFORE = 60  # bodies: the hosts are known and the first snapshot has been made, so that what grows is the outage's
GROWS_MB, TIMES_REAL_TIME = 50, 10


def ask(service, path):
    with urllib.request.urlopen(f"http://127.0.0.1:{service.port}{path}", timeout=10) as answer:
        return json.loads(answer.read())


def store_of(service):
    return ask(service, "/api/v1/system")["store"]


def wait_until(true, seconds=60):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.05)


def ticks(seconds, start):
    """Bodies of four seconds each, 500 hosts a second, in columns that end now."""
    hosts = [f"h{i}" for i in range(RATE)] * (PER_POST // RATE)
    for first in range(0, seconds, PER_POST // RATE):
        times = [start + (first + i // RATE) * 1000 for i in range(PER_POST)]
        values = [round(20 + (first * 7 + i) % 300 / 10, 1) for i in range(PER_POST)]
        yield {"timestamp": times, "host": hosts, "cpu": values, "memory": values, "disk": values}


def post(service, body):
    """As a collector does: 429 means a little later."""
    while True:
        try:
            return service.post(body)
        except urllib.error.HTTPError as error:
            if error.code != 429:
                raise
            time.sleep(0.1)


def rss_mb(service):
    return psutil.Process(service.process.pid).memory_info().rss / 1e6


def test_half_an_hour_without_the_database_loses_nothing(tmp_path):
    seconds = MINUTES * 60
    start = time.time_ns() // 1_000_000 - seconds * 1000
    with InfluxStub() as influx:
        service = Killable(tmp_path, INFLUXDB_URL=influx.url, INFLUXDB_TOKEN="t", INFLUXDB_ORG="o", INFLUXDB_BUCKET="b")
        service.start()
        bodies = list(ticks(seconds, start))
        acknowledged = sum(post(service, body) for body in bodies[:BEFORE])
        wait_until(lambda: influx.samples("b") == acknowledged)
        before = rss_mb(service)
        influx.always = refusal(503, "unavailable")
        acknowledged += sum(post(service, body) for body in bodies[BEFORE : len(bodies) // 2])
        grown = rss_mb(service) - before
        service.kill()
        service.start()
        # a start has much in its hands; what grows while the database is away is asked for
        wait_until(lambda: store_of(service)["backlog_samples"] == acknowledged - BEFORE * PER_POST, 120)
        before = rss_mb(service)
        acknowledged += sum(post(service, body) for body in bodies[len(bodies) // 2 :])
        wait_until(lambda: store_of(service)["backlog_samples"] == acknowledged - BEFORE * PER_POST, 120)
        grown = max(grown, rss_mb(service) - before)
        influx.always = None
        wait_until(lambda: influx.samples("b") > BEFORE * PER_POST)
        began, had = time.monotonic(), influx.samples("b")
        wait_until(lambda: influx.samples("b") == acknowledged, 120)
        drained = (acknowledged - had) / (time.monotonic() - began)
        service.process.terminate()
        service.process.wait(20)
    print(f"{acknowledged:,} acknowledged, 0 lost, RSS + {grown:.0f} MB, drained {drained:,.0f} a second")
    assert (influx.repeated, influx.out_of_order) == (0, 0)
    assert grown < GROWS_MB
    assert drained >= TIMES_REAL_TIME * RATE
