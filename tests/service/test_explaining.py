"""Explanations on the whole way: with the incident, in messages, over a restart, and asked for."""

import numpy as np

from monitor_core.frame import make_frame
from monitor_core.service import decisions
from tests.conftest import client_of, settled, until
from tests.service.test_original_api import now_ms, quiet_past

BUSY = [53.0, 30.0, 30.0, 30.0]


def send(service, host, values, at):
    service.pipeline.accept(make_frame([at], [host], [values])).result(5)
    settled(service)


def busy(service, host="web-1", n=6):
    """A quiet past, then n busy samples until now; the third one is unusual. Returns the time of the first."""
    first = now_ms() - n * 3_000
    quiet_past(service, host, until_ms=first)
    for i in range(n):
        send(service, host, BUSY, first + i * 3_000)
    return first


def test_an_incident_says_since_when_which_detector_and_what_would_be_normal(service, slack):
    first = busy(service)
    client = client_of(service)
    (shown,) = client.get("/api/v1/incidents?state=open").json()["incidents"]
    assert first < shown["since"] < shown["opened_at"]
    assert shown["detector"] == "robust_z"
    (((change,),)) = shown["counterfactual"]["ways"]
    assert (change["metric"], change["below"]) == ("cpu", True)
    assert client.get("/api/state").json()["incidents"][0]["counterfactual"] == shown["counterfactual"]
    body = {"host": "web-1", "memory": 30, "disk": 30, "disk_io": 30}
    inside = client.post("/predict?dry_run=true", json=body | {"cpu": change["value"]}).json()
    beyond = client.post("/predict?dry_run=true", json=body | {"cpu": change["value"] + 2}).json()
    assert (inside["prediction"], beyond["prediction"]) == ("normal", "anomaly")
    until(lambda: slack.texts)
    assert "Normal with CPU ≤" in str(slack.bodies)
    assert "far from the last hour" in str(slack.bodies)


def test_the_explanation_is_there_after_a_restart_and_the_run_goes_on(start):
    service = start()
    first = busy(service, n=3)
    assert service.state.open_incidents() == []
    service = start()
    assert service.judge.since("web-1", first + 9_000) == first + 6_000
    send(service, "web-1", BUSY, now_ms())
    send(service, "web-1", BUSY, now_ms() + 100)
    (incident,) = service.state.open_incidents()
    assert incident.since == first + 6_000
    service = start()
    assert service.judge.desk.open["web-1", "abnormal"] == incident
    assert incident.counterfactual.sentence.startswith("Normal with CPU")


def test_an_incident_that_gets_worse_is_explained_anew(service):
    busy(service)
    (before,) = service.state.open_incidents()
    send(service, "web-1", [99, 30, 30, 30], now_ms())
    (after,) = service.state.open_incidents()
    assert (before.detector, after.detector) == ("robust_z", "limits")
    assert after.since == before.since


def test_a_silence_says_since_when(start):
    service = start(silence_minimum_seconds=0.3, silence_factor=2)
    for i in range(25):
        send(service, "web-1", [30, 30, 30, 30], now_ms() - (25 - i) * 100)
    until(service.state.open_incidents)
    (incident,) = service.state.open_incidents()
    assert incident.opened_at - incident.since >= 300
    assert incident.counterfactual is None


def test_when_a_whole_fleet_goes_wrong_only_some_are_explained_at_once(service, monkeypatch):
    monkeypatch.setattr(decisions, "MOST_COUNTERFACTUALS", 2)
    hosts = [f"h{i}" for i in range(6)]
    service.pipeline.accept(make_frame([now_ms()] * 6, hosts, [[99, 30, 30, 30]] * 6)).result(5)
    settled(service)
    told = [incident.counterfactual is not None for incident in service.state.open_incidents()]
    assert (len(told), sum(told)) == (6, 2)


def test_predict_says_why(client, service):
    quiet_past(service)
    answer = client.post("/predict?dry_run=true", json={"cpu": 70, "memory": 30, "disk": 30}).json()
    assert answer["detector_in_words"] == "far from the last hour"
    assert answer["counterfactual"]["sentence"].startswith("Normal with CPU ≤")
    assert answer["since"] is not None
    normal = client.post("/predict?dry_run=true", json={"cpu": 30, "memory": 30, "disk": 30}).json()
    assert (normal["since"], normal["detector"], normal["counterfactual"]) == (None, None, None)


def test_the_newest_sample_of_a_host_is_explained(client, service):
    first = busy(service)
    told = client.get("/api/v1/explanation?host=web-1").json()
    assert (told["prediction"], told["detector"]) == ("anomaly", "robust_z")
    assert told["since"] == first + 6_000
    assert next(item["metric"] for item in told["evidence"]) == "cpu"


def test_a_moment_of_the_past_is_explained_from_what_is_kept(client, service):
    at = now_ms() - 1_800_000
    rng = np.random.default_rng(2)
    values = np.round(30 + rng.normal(0, 1, (900, 4)), 1)
    values[300:303, 1] = 75.0
    values[500:510, 1] = 75.0
    times = at + (np.arange(900) - 505) * 3_000
    service.pipeline.accept(make_frame(times, ["web-1"] * 900, values)).result(5)
    settled(service)
    before = service.judge.snapshots()
    told = client.get(f"/api/v1/explanation?host=web-1&time={at}").json()
    assert (told["time"], told["prediction"], told["evidence"][0]["metric"]) == (at, "anomaly", "memory")
    assert told["since"] == at - 5 * 3_000
    (((change,),)) = told["counterfactual"]["ways"]
    assert change["metric"] == "memory"
    assert client.get(f"/api/v1/explanation?host=web-1&time={at - 300_000}").json()["prediction"] == "normal"
    assert service.judge.snapshots() == before


def test_what_is_not_kept_cannot_be_explained(client):
    answer = client.get("/api/v1/explanation?host=nobody")
    assert (answer.status_code, "kept" in answer.json()["detail"]) == (404, True)
    assert client.get("/api/v1/explanation?host=a&time=x").status_code == 422
