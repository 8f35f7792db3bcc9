"""Every time-series store runs through the same contract; a new one is one more line here."""

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from monitor_core.storage.influxdb.connection import Connection
from monitor_core.storage.influxdb.store import InfluxStore
from monitor_core.storage.sqlite import SqliteStore
from monitor_core.storage.timeseries import TimeSeriesStore

Opener = Callable[[], TimeSeriesStore]


def influxdb(folder: Path) -> TimeSeriesStore:
    environ = os.environ
    connection = Connection(environ["INFLUXDB_URL"], environ["INFLUXDB_TOKEN"], environ["INFLUXDB_ORG"])
    bucket = folder.joinpath("bucket")
    if not bucket.exists():
        bucket.write_text(uuid.uuid4().hex)
    return InfluxStore(connection, bucket.read_text(), folder, raw_days=7)


STORES: dict[str, Callable[[Path], TimeSeriesStore]] = {
    "sqlite": lambda folder: SqliteStore(folder / "timeseries.sqlite"),
    "influxdb": influxdb,
}


@pytest.fixture(params=STORES)
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opener]:
    """Opens the same store again at every call."""
    opened: list[TimeSeriesStore] = []

    def open_it() -> TimeSeriesStore:
        if opened:
            opened.pop().close()
        opened.append(STORES[request.param](tmp_path))
        return opened[-1]

    yield open_it
    for store in opened:
        store.close()


@pytest.fixture
def store(open_store: Opener) -> TimeSeriesStore:
    return open_store()
