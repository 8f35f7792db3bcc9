"""kill -9 under load: every acknowledged sample is there by value, no incident twice, none lost."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from monitor_core.storage.sqlite import SqliteStore
from monitor_core.storage.state import StateStore
from monitor_core.storage.writer import StateFile
from tests.external import own_environ

pytestmark = pytest.mark.crash
ROOT = Path(__file__).parents[2]
KILLS = int(os.environ.get("KILLS", "5"))
HOSTS = 20


class Killable:
    """python -m monitor_core on a folder of its own."""

    def __init__(self, folder, **environ):
        self.folder, self.environ = folder, environ
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]

    def start(self):
        environ = {**own_environ(), "DATA_DIR": str(self.folder), "COLLECT_THIS_HOST": "false", "TRAIN_AT_HOUR": "-1"}
        environ |= self.environ
        command = [sys.executable, "-m", "monitor_core", "--port", str(self.port)]
        self.process = subprocess.Popen(command, cwd=ROOT, env=environ, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 30
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/healthy", timeout=1).read()
            except OSError:
                assert time.monotonic() < end, "it did not start"
                time.sleep(0.05)
            else:
                return

    def post(self, body):
        url = f"http://127.0.0.1:{self.port}/ingest"
        request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=5) as answer:
            return json.loads(answer.read())["accepted"]

    def kill(self):
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()


def load(service, ledger, counter, stop, base):
    """Post ticks of all hosts until told to stop; the ledger keeps what was answered with success."""
    while not stop.is_set():
        number = next(counter)
        at = base + number * 10
        values = [round(20 + (number * 7 + i) % 400 / 10, 1) for i in range(HOSTS)]
        # one host is in breach all the time: one incident, however often the service dies
        values[0] = 99.0
        names = [f"h{i}" for i in range(HOSTS)]
        try:
            service.post({"timestamp": [at] * HOSTS, "host": names, "cpu": values})
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
        else:
            ledger[at] = values


def test_nothing_acknowledged_is_lost_and_no_incident_comes_twice(tmp_path):
    lots = random.Random(4)
    service, ledger, stop = Killable(tmp_path), {}, threading.Event()
    counter, base = iter(range(10**9)), time.time_ns() // 1_000_000 - 100_000
    lock = threading.Lock()

    class Shared:
        def __next__(self):
            with lock:
                return next(counter)

    service.start()
    writers = [threading.Thread(target=load, args=(service, ledger, Shared(), stop, base)) for _ in range(3)]
    for writer in writers:
        writer.start()
    for _ in range(KILLS):
        time.sleep(lots.uniform(0.2, 1.2))
        service.kill()
        service.start()
    stop.set()
    for writer in writers:
        writer.join()
    _drain(service)
    _check(tmp_path, ledger, base)


def _drain(service):
    """Let it store what it has, then end it properly."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        with urllib.request.urlopen(f"http://127.0.0.1:{service.port}/api/v1/system", timeout=5) as answer:
            stages = {stage["key"]: stage["value"] for stage in json.loads(answer.read())["stages"]}
        if stages["stored"] == "backlog 0":
            break
        time.sleep(0.1)
    time.sleep(0.5)
    service.process.terminate()
    service.process.wait(15)


def _check(folder, ledger, base):
    assert len(ledger) > 50
    store = SqliteStore(folder / "timeseries.sqlite")
    for i in range(HOSTS):
        series = store.series(f"h{i}", base, base + 40_000_000, 10**7)
        found = dict(zip(series.time.tolist(), series.mean[:, 0].tolist(), strict=True))
        wrong = {at: values[i] for at, values in ledger.items() if found.get(at) != values[i]}
        assert wrong == {}
    store.close()
    file = StateFile(folder / "state.sqlite")
    state = StateStore(file)
    incidents = state.incidents(0, 2**60, limit=1000)
    notes = state.notifications(limit=1000)
    file.close()
    # the overloaded host once (its samples jitter between writers), whatever else opened at most once a host
    assert [i.host for i in incidents].count("h0") == 1
    assert len({(i.host, i.kind) for i in incidents if i.is_open}) == sum(i.is_open for i in incidents)
    assert len({note.key for note in notes}) == len(notes)
    print(f"{KILLS} kills, {len(ledger) * HOSTS} acknowledged samples, 0 lost")
