"""Every time-series store runs through the same contract; a new one is one more line here."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest

from monitor_core.storage.influxdb.connection import Connection
from monitor_core.storage.influxdb.store import InfluxStore
from monitor_core.storage.sqlite import SqliteStore
from monitor_core.storage.timeseries import TimeSeriesStore
from tests.contracts.recorded import Played
from tests.external import influxdb_server

Opener = Callable[[], TimeSeriesStore]
RECORDINGS = Path(__file__).parent / "recorded"
ORG = "monitor"


class Place(Protocol):
    """Where a store lives for one test."""

    def open(self) -> TimeSeriesStore: ...

    def clear(self) -> None: ...


class SqlitePlace:
    def __init__(self, folder: Path, name: str) -> None:
        self._path = folder / "timeseries.sqlite"

    def open(self) -> TimeSeriesStore:
        return SqliteStore(self._path)

    def clear(self) -> None:
        pass


class InfluxPlace:
    """Buckets of the test's own on the server in INFLUXDB_URL, removed afterwards."""

    def __init__(self, folder: Path, name: str) -> None:
        self.url, self._token, self._org = influxdb_server()
        self._folder = folder
        self._bucket = f"contract-{hashlib.sha256(name.encode()).hexdigest()[:12]}"
        self._remove()

    def open(self, **days: float) -> InfluxStore:
        connection = Connection(self.url, self._token, self._org)
        return InfluxStore(connection, self._bucket, self._folder, **({"raw_days": 7} | days))

    def clear(self) -> None:
        self._remove()

    def _remove(self) -> None:
        connection = Connection(influxdb_server()[0], self._token, self._org)
        for name in ("", "_minute", "_half_hour", "_anomalies"):
            connection.remove_bucket(f"{self._bucket}{name}")
        connection.close()


class RecordedPlace(InfluxPlace):
    """The same without a server: what it answered is in recorded/."""

    def __init__(self, folder: Path, name: str) -> None:
        self._file = RECORDINGS / f"{re.sub(r'[^a-z0-9]+', '-', name.lower()).strip('-')}.json.gz"
        self._is_recording = os.environ.get("RECORD") == "1"
        if self._is_recording:
            super().__init__(folder, name)
        else:
            self._token, self._org, self._folder = "no-token", ORG, folder
            self._bucket = f"contract-{hashlib.sha256(name.encode()).hexdigest()[:12]}"
        self._played = Played(self._file, self.url if self._is_recording else None)
        self.url = self._played.url

    def clear(self) -> None:
        self._played.close()
        if self._is_recording:
            self._remove()


STORES: dict[str, Callable[[Path, str], Place]] = {
    "sqlite": SqlitePlace,
    "influxdb-recorded": RecordedPlace,
    "influxdb": InfluxPlace,
}
MARKS = {"influxdb": pytest.mark.external_service}


@pytest.fixture(params=[pytest.param(name, marks=MARKS.get(name, ())) for name in STORES])
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opener]:
    """Opens the same store again at every call."""
    opened: list[TimeSeriesStore] = []
    place = STORES[request.param](tmp_path, request.node.name.replace(request.param, ""))

    def open_it() -> TimeSeriesStore:
        if opened:
            opened.pop().close()
        opened.append(place.open())
        return opened[-1]

    yield open_it
    for store in opened:
        store.close()
    place.clear()


@pytest.fixture
def store(open_store: Opener) -> TimeSeriesStore:
    return open_store()
