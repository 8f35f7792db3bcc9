"""What tests of the running service share: settings in a folder of their own, a Slack stub, a client."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from monitor_core.service.api import build_api
from monitor_core.service.bootstrap import Service, build
from monitor_core.settings import Settings
from tests.alerting.slack_stub import SlackStub


@pytest.fixture
def slack() -> Iterator[SlackStub]:
    with SlackStub() as stub:
        yield stub


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Starts a service without sources; call it again to restart on the same data."""
    running: list[Service] = []

    def start_it(sources: Any = (), **changes: Any) -> Service:
        while running:
            running.pop().stop()
        service = built(tmp_path / "data", sources, **changes)
        running.append(service)
        service.start()
        return service

    yield start_it
    while running:
        running.pop().stop()


def built(data_dir: Path, sources: Any = (), **changes: Any) -> Service:
    quiet = {"simulated_hosts": 0, "collect_this_host": False, "train_at_hour": -1, "host_name": "me"}
    return build(Settings(**(quiet | {"data_dir": data_dir} | changes)), sources)


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Callable[[Service], object]], Path]:
    """Data folders of services that did something, once in a module, and stopped."""
    folders: dict[Callable[[Service], object], Path] = {}

    def folder_of(do: Callable[[Service], object]) -> Path:
        if do not in folders:
            folder = tmp_path_factory.mktemp("lived") / "data"
            service = built(folder)
            service.start()
            try:
                do(service)
            finally:
                service.stop()
            folders[do] = folder
        return folders[do]

    return folder_of


@pytest.fixture
def start_after(
    start: Callable[..., Service], lived: Callable[..., Path], tmp_path: Path
) -> Callable[[Callable[[Service], object]], Service]:
    """Starts a service of which a copy of its data says that it did this."""

    def start_it(do: Callable[[Service], object]) -> Service:
        shutil.copytree(lived(do), tmp_path / "data")
        return start()

    return start_it


@pytest.fixture
def service(start: Callable[..., Service], slack: SlackStub) -> Service:
    return start(slack_webhook_url=slack.url)


@pytest.fixture
def client(service: Service) -> TestClient:
    return client_of(service)


def client_of(service: Service) -> TestClient:
    return TestClient(build_api(service), raise_server_exceptions=True, base_url="http://127.0.0.1:8000")


def settled(service: Service, seconds: float = 30.0) -> None:
    """Wait until everything that was acknowledged is decided upon and stored."""
    until(lambda: service.storing.stored_position >= service.journal.last(), seconds)


def until(true: Callable[[], bool], seconds: float = 30.0) -> None:
    """Poll; fails when it does not come true."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.01)
