"""The stage that is told is that of the detectors and the budget that really work."""

import numpy as np

from monitor_core.detection.detectors import neighbours
from monitor_core.frame import make_frame
from monitor_core.service import training_set
from tests.conftest import client_of, settled
from tests.service.test_budget import DAY, past, train
from tests.service.test_original_api import now_ms


def host_of(service, name="web-1"):
    found = client_of(service).get("/api/v1/hosts").json()["hosts"]
    return next(host for host in found if host["name"] == name)


def shares(host):
    return {part["name"]: part["share"] for part in host["watched_by"]}


def test_the_budget_and_the_own_past_are_told_as_they_are(start):
    service = start()
    past(service, days=1)
    told = host_of(service)
    assert shares(told) == {"limits": 1, "last hour": 1, "forest": 0, "own past": 0, "alert budget": 1}
    assert told["next"] == "forest after the first training and own past with the next training"
    train(service)
    told = host_of(service)
    voice = float(neighbours.voice(np.array([DAY]))[0])
    assert abs(shares(told)["own past"] - voice) < 0.01
    assert (told["stage"], told["next"]) == ("forest", "all of its own past with the next training")
    assert "14\u202f% of its own past speak, within its alert budget" in told["learned"]


def test_a_young_host_hears_when_the_budget_will_know_it(start):
    service = start()
    values = np.full((40, 4), 30.0)
    times = now_ms() + (np.arange(40) - 40) * 30_000
    service.pipeline.accept(make_frame(times, ["web-1"] * 40, values)).result(5)
    settled(service)
    budget = host_of(service)["watched_by"][-1]
    assert budget == {"name": "alert budget", "share": 0, "next": "alert budget in 3 h"}
    began = client_of(service).get("/api/v1/hosts/web-1/budget").json()
    assert began["knows"] is False


def test_a_simulated_host_has_no_budget(start):
    service = start()
    past(service, days=1, host="sim-1", simulated=True)
    assert set(shares(host_of(service, "sim-1"))) == {"limits", "last hour", "forest", "own past"}


def test_a_host_that_no_training_has_room_for_waits_for_nothing(start, monkeypatch):
    monkeypatch.setattr(training_set, "MAX_HOSTS", 1)
    service = start()
    for host in ("web-1", "web-2"):
        past(service, days=1, host=host)
    train(service)
    assert "own past" in shares(host_of(service, "web-1"))
    assert "own past" not in shares(host_of(service, "web-2"))
    assert host_of(service, "web-2")["next"] is None


def test_who_watches_without_a_budget_has_none(start):
    service = start(alerts_per_week=0)
    past(service, days=1)
    assert "alert budget" not in shares(host_of(service))
