"""The alert budget and the neighbours in the running service."""

import numpy as np
import pytest

from monitor_core.frame import make_frame
from tests.conftest import client_of, settled
from tests.service.test_original_api import now_ms

MINUTE, DAY = 60_000, 86_400_000


def past(service, days=4, host="web-1", simulated=False):
    """So many days of a quiet host, a sample a minute, that end now."""
    rng = np.random.default_rng(1)
    n = days * 1_440
    values = np.round(30 + rng.normal(0, 1, (n, 4)), 1)
    times = now_ms() - np.arange(n, 0, -1) * MINUTE
    service.pipeline.accept(make_frame(times, [host] * n, values, simulated)).result(10)
    settled(service)


def learn(service):
    past(service)
    train(service)


@pytest.fixture
def taught(start_after):
    return start_after(learn)


def train(service):
    """The first training may have begun by itself."""
    service.learning.wait(60)
    service.learning.start("by hand")
    service.learning.wait(60)
    assert service.learning.job.state == "done"


def neighbours_of(client, **values):
    sample = {"host": "web-1", "cpu": 30.0, "memory": 30.0, "disk": 30.0, "disk_io": 30.0} | values
    return client.post("/predict?dry_run=true", json=sample).json()["detectors"]["neighbours"]


def test_a_version_knows_every_host_by_its_own_past_and_still_does_after_a_restart(taught, start):
    client = client_of(taught)
    usual, odd = neighbours_of(client), neighbours_of(client, disk_io=75.0)
    assert usual < 0.75 <= odd
    again = client_of(start())
    assert neighbours_of(again, disk_io=75.0) == pytest.approx(odd, abs=0.01)


def test_damaged_neighbours_are_refused_and_nothing_else_breaks(taught, start):
    for path in (taught.settings.data_dir / "models").glob("v*/neighbours.npz"):
        body = bytearray(path.read_bytes())
        body[len(body) // 2] ^= 1
        path.write_bytes(bytes(body))
    service = start()
    assert "neighbours" in service.learning.damaged
    assert service.learning.active == 0


def test_what_is_left_of_the_budget_is_told(taught):
    client = client_of(taught)
    found = client.get("/api/v1/hosts/web-1/budget").json()
    assert (found["limited"], found["per_week"], found["knows"]) == (True, 1, True)
    assert found["threshold"] >= 0.75
    rates = [point["per_week"] for point in found["curve"]]
    assert rates == sorted(rates, reverse=True)
    assert client.get("/api/v1/hosts/nobody/budget").status_code == 404


def test_hosts_that_do_not_exist_have_no_budget(start):
    service = start()
    past(service, days=1, host="sim-1", simulated=True)
    assert client_of(service).get("/api/v1/hosts/sim-1/budget").json()["limited"] is False


def test_zero_is_no_budget(start):
    service = start(alerts_per_week=0)
    past(service, days=1)
    assert client_of(service).get("/api/v1/hosts/web-1/budget").json()["limited"] is False


def test_an_incident_marked_as_real_leaves_the_budget_as_it_was(taught):
    client = client_of(taught)
    row = taught.judge.spending.find("web-1")
    free = int(taught.judge.spending.sent[row].sum())
    odd = {"host": "web-1", "cpu": 30.0, "memory": 30.0, "disk": 30.0, "disk_io": 75.0}
    client.post("/ingest", json=[odd | {"timestamp": now_ms() + i * MINUTE} for i in range(3)])
    settled(taught)
    (incident,) = client.get("/api/v1/incidents?host=web-1&state=open").json()["incidents"]
    spent = int(taught.judge.spending.sent[row].sum())
    assert spent > free
    told = client.get("/api/v1/hosts/web-1/budget").json()
    assert (told["spent"], told["counted"], told["left"]) == (1, 1.0, 0)
    client.put(f"/api/v1/incidents/{incident['id']}/label", json={"label": "real"})
    assert int(taught.judge.spending.sent[row].sum()) < spent - 20
    told = client.get("/api/v1/hosts/web-1/budget").json()
    assert (told["spent"], told["counted"], told["left"]) == (0, 0, 1)
    client.delete(f"/api/v1/incidents/{incident['id']}/label")
    assert int(taught.judge.spending.sent[row].sum()) >= spent


def test_the_first_day_of_a_host_brings_new_versions_as_its_history_doubles(taught, monkeypatch):
    values = np.full((130, 4), 20.0)
    times = now_ms() - np.arange(130, 0, -1) * MINUTE
    taught.pipeline.accept(make_frame(times, ["web-2"] * 130, values)).result(10)
    settled(taught)
    assert "web-2" not in taught.judge.scorer.models.hosts
    assert not taught.learning.has_grown()
    at = taught.clock.now_ms()
    monkeypatch.setattr(taught.clock, "now_ms", lambda: at + 61 * MINUTE)
    assert taught.learning.has_grown()
    train(taught)
    assert taught.judge.scorer.models.hosts == ("web-1", "web-2")
    assert not taught.learning.has_grown()


def test_what_is_judged_again_after_a_crash_is_judged_with_the_version_that_judged_it(taught, start):
    taught.pipeline.leave_snapshot()
    odd = {"host": "web-1", "cpu": 30.0, "memory": 30.0, "disk": 30.0, "disk_io": 75.0}
    at = now_ms()
    client_of(taught).post("/ingest", json=[odd | {"timestamp": at + i * MINUTE} for i in range(3)])
    settled(taught)
    before = taught.judge.snapshots()
    taught.pipeline._is_ahead = True  # as after kill -9: no snapshot is left
    after = start().judge.snapshots()
    assert (after["hosts"], after["budget"]) == (before["hosts"], before["budget"])
