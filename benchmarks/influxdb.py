"""The InfluxDB store against a real server (INFLUXDB_URL, _TOKEN, _ORG): writing, a host page's queries, latest values.

It writes into buckets of its own and removes them. 30 days of three hosts are written first, which takes two minutes.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
import uuid
from dataclasses import replace
from pathlib import Path

import numpy as np
import requests

from benchmarks.store import frame, quantiles
from monitor_core.scores import empty_scores
from monitor_core.storage.influxdb import flux
from monitor_core.storage.influxdb.connection import Connection
from monitor_core.storage.influxdb.line_protocol import Encoder
from monitor_core.storage.influxdb.reading import RAW_FIELDS
from monitor_core.storage.influxdb.store import InfluxStore
from monitor_core.storage.influxdb.tables import ONLY, blocks, wide

DAY_MS, HOUR_MS = 86_400_000, 3_600_000
HOSTS, TICKS, LONG_HOSTS, STEP_MS = 1_000, 60, 3, 3_000
THREE = ("cpu", "memory", "disk")


def writing(store: InfluxStore, stop: int) -> None:
    ticks = [frame(HOSTS, np.array([stop - (TICKS - i) * STEP_MS]), i) for i in range(TICKS)]
    scores = empty_scores(HOSTS, 4)
    store.write(ticks[0], scores)
    cpu = time.process_time()
    took = quantiles(lambda i: store.write(ticks[i], scores), TICKS)
    cpu = (time.process_time() - cpu) / TICKS * 1000
    print(f"write a tick of 1,000 hosts, 5 fields   {took}   CPU {cpu:.2f} ms in this process")


def encoding(connection: Connection, bucket: str, stop: int) -> None:
    """1,000 lines of three metrics: encoding alone, and with the request."""
    encoder, tick = Encoder(flux.SAMPLES, THREE), frame(HOSTS, np.array([stop]), 1)
    table = tick.values[:, :3]
    for name, work in {
        "encode 1,000 lines of 3 fields": lambda: encoder.encode(tick.time, tick.code, tick.hosts, table),
        "encode and write them": lambda: connection.write(
            bucket, encoder.encode(tick.time, tick.code, tick.hosts, table)[0]
        ),
    }.items():
        work()
        started = time.process_time()
        for _ in range(100):
            work()
        print(f"{name:39} CPU {(time.process_time() - started) / 100 * 1000:.2f} ms")


def fill_month(store: InfluxStore, stop: int) -> None:
    started, samples = time.perf_counter(), 0
    for first in range(stop - 30 * DAY_MS, stop, DAY_MS // 8):
        part = frame(LONG_HOSTS, np.arange(first, first + DAY_MS // 8, STEP_MS), first % 1000)
        part = replace(part, hosts=tuple(f"long{i}" for i in range(LONG_HOSTS)))
        store.write(part, empty_scores(len(part), 4))
        samples += len(part)
    wrote = time.perf_counter()
    print(f"backfill: {samples:,} samples, {samples / (wrote - started):,.0f} a second")
    store.maintain(stop + HOUR_MS)
    print(f"rolled up 30 days of {LONG_HOSTS} hosts in {time.perf_counter() - wrote:.0f} s")


def reading(store: InfluxStore, connection: Connection, bucket: str, stop: int) -> None:
    start = stop - 30 * DAY_MS

    def month_raw(_: int) -> None:
        wanted = dict.fromkeys(("min", "mean", "max"), THREE)
        question = flux.windows(bucket, wanted, start, stop, HOUR_MS, "long0")
        columns = [(function, key) for function in wanted for key in THREE]
        wide(blocks(connection.query(question.text, question.params)), columns)

    def month_rollup(_: int) -> None:
        fields = [f"{key}_{part}" for part in ("min", "mean", "max") for key in THREE]
        question = flux.samples(f"{bucket}_half_hour", fields, start, stop, ["long0"])
        wide(blocks(connection.query(question.text, question.params)), [(ONLY, field) for field in fields])

    def page(span: int, points: int) -> str:
        return quantiles(lambda _: store.series("long0", stop - span, stop, points))

    print(f"30 d, 3 metrics, min/mean/max, rollups  {quantiles(month_rollup)}")
    print(f"30 d, the same from raw samples         {quantiles(month_raw)}")
    print(f"30 d as the page asks (29 fields)       {page(30 * DAY_MS, 1_200)}")
    print(f"24 h as the page asks                   {page(DAY_MS, 1_200)}")
    print(f"15 min of raw samples                   {page(900_000, 2_400)}")
    print(f"latest of 1,000 hosts                   {quantiles(lambda _: store.latest(stop - 900_000))}")
    print(f"fleet of 1,000 hosts, 1 h               {quantiles(lambda _: store.fleet(stop - HOUR_MS, stop, 300), 10)}")


def parsing(connection: Connection, bucket: str, stop: int) -> None:
    question = flux.samples(bucket, RAW_FIELDS, stop - DAY_MS, stop, ["long0", "long1"])
    answer = connection.query(question.text, question.params)
    columns = [(ONLY, field) for field in RAW_FIELDS]
    rows = sum(len(table) for table in blocks(answer))
    cpu, started = time.process_time(), time.perf_counter()
    for _ in range(5):
        wide(blocks(answer), columns)
    cpu, wall = (time.process_time() - cpu) / 5, (time.perf_counter() - started) / 5
    share = 100_000 / rows
    print(f"{rows:,} rows to arrays: {cpu * share * 1000:.0f} ms CPU, {wall * share * 1000:.0f} ms per 100,000 rows")


def main() -> None:
    """`fill BUCKET`, later `read BUCKET` (a database that has compacted is what users have), or both at once."""
    if "INFLUXDB_URL" not in os.environ:
        sys.exit("INFLUXDB_URL is not set: this benchmark needs a real server")
    url, token, org = (os.environ[f"INFLUXDB_{name}"] for name in ("URL", "TOKEN", "ORG"))
    version = requests.get(f"{url}/ping", timeout=5).headers.get("X-Influxdb-Version")
    print(f"InfluxDB {version}")
    step, bucket = sys.argv[1:3] if len(sys.argv) > 2 else ("both", f"bench-{uuid.uuid4().hex[:8]}")
    connection = Connection(url, token, org)
    stop = time.time_ns() // 1_000_000 // DAY_MS * DAY_MS
    with tempfile.TemporaryDirectory() as folder:
        store = InfluxStore(connection, bucket, Path(folder), raw_days=60)
        if step != "read":
            writing(store, stop)
            encoding(connection, bucket, stop)
            fill_month(store, stop)
        if step != "fill":
            store.write(frame(1, np.array([stop]), 1), empty_scores(1, 4))
            reading(store, connection, bucket, stop)
            parsing(connection, bucket, stop)
            for name in (bucket, f"{bucket}_minute", f"{bucket}_half_hour", f"{bucket}_anomalies"):
                connection.remove_bucket(name)
        store.close()


if __name__ == "__main__":
    main()
