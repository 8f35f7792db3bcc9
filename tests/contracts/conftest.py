"""Every time-series store runs through the same contract; a new one is one more line here."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from monitor_core.storage.sqlite import SqliteStore
from monitor_core.storage.timeseries import TimeSeriesStore

Opener = Callable[[], TimeSeriesStore]
STORES: dict[str, Callable[[Path], TimeSeriesStore]] = {
    "sqlite": lambda folder: SqliteStore(folder / "timeseries.sqlite"),
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
