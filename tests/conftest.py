"""What tests of the running service share: settings in a folder of their own, a Slack stub, a client."""

from __future__ import annotations

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
        quiet = {"simulated_hosts": 0, "collect_this_host": False, "train_at_hour": -1, "host_name": "me"}
        service = build(Settings(**(quiet | {"data_dir": tmp_path / "data"} | changes)), sources)
        running.append(service)
        service.start()
        return service

    yield start_it
    while running:
        running.pop().stop()


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
