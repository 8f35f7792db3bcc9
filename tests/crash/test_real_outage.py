"""The outage once more against a real InfluxDB: killed with -9, away for a while, started again."""

import json
import os
import signal
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest

from monitor_core.storage.influxdb.connection import Connection
from monitor_core.storage.influxdb.store import InfluxStore
from tests.crash.test_kill import Killable
from tests.crash.test_outage import PER_POST, post, store_of, ticks, wait_until

pytestmark = [pytest.mark.crash, pytest.mark.external_service]
TOKEN, ORG, SECONDS = "token-of-this-test", "monitor", 600


class Server:
    """An influxd of the test's own: its program is named in INFLUXD, its files lie in a folder of the test."""

    def __init__(self, folder: Path) -> None:
        self._program = os.environ.get("INFLUXD", "")
        if not self._program:
            pytest.skip("needs a real influxd 2.7 that may be killed: set INFLUXD to its path")
        self._folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._address = f"127.0.0.1:{free.getsockname()[1]}"
        self.url = f"http://{self._address}"

    def start(self) -> None:
        paths = [f"--{name}-path={self._folder / name}" for name in ("bolt", "engine", "sqlite")]
        command = [self._program, f"--http-bind-address={self._address}", *paths, "--reporting-disabled"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(self._is_up)

    def _is_up(self) -> bool:
        try:
            return urllib.request.urlopen(f"{self.url}/ping", timeout=1).status == 204
        except OSError:
            return False

    def set_up(self) -> None:
        body = {
            "username": "admin",
            "password": "password-of-this-test",
            "org": ORG,
            "bucket": "unused",
            "token": TOKEN,
        }
        request = urllib.request.Request(f"{self.url}/api/v2/setup", json.dumps(body).encode(), method="POST")
        urllib.request.urlopen(request, timeout=10).read()

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()


def test_a_real_server_that_is_killed_and_comes_back_has_everything(tmp_path):
    server = Server(tmp_path)
    server.start()
    server.set_up()
    own = {"INFLUXDB_URL": server.url, "INFLUXDB_TOKEN": TOKEN, "INFLUXDB_ORG": ORG, "INFLUXDB_BUCKET": "metrics"}
    service = Killable(tmp_path / "data", **own)
    service.start()
    start = time.time_ns() // 1_000_000 - SECONDS * 1000
    bodies = list(ticks(SECONDS, start))
    acknowledged = sum(post(service, body) for body in bodies[:20])
    server.kill()
    acknowledged += sum(post(service, body) for body in bodies[20:])
    wait_until(lambda: store_of(service)["backlog_samples"] >= acknowledged - 20 * PER_POST)
    assert not store_of(service)["reachable"]
    server.start()
    began = time.monotonic()
    wait_until(lambda: store_of(service)["backlog_samples"] == 0, 120)
    seconds = time.monotonic() - began
    service.process.terminate()
    service.process.wait(20)
    connection = Connection(server.url, TOKEN, ORG)
    store = InfluxStore(connection, "metrics", tmp_path / "reader")
    frames = [frame for frame, _ in store.scan(start, start + SECONDS * 1000)]
    found = {(host, at) for frame in frames for host, at in zip(frame.host_names(), frame.time.tolist(), strict=True)}
    store.close()
    server.kill()
    print(f"{acknowledged:,} acknowledged, {len(found):,} there, drained within {seconds:.1f} s after the start")
    assert len(found) == sum(len(frame) for frame in frames) == acknowledged
