"""The original's endpoints, with its own bodies and answers."""

import json
import time

import numpy as np
import pytest

from monitor_core.frame import make_frame
from simulator.__main__ import original_profile
from tests.conftest import settled, until
from tests.sources.bad_bodies import BAD, REFUSED

NORMAL = {"cpu": 30.0, "memory": 40.0, "disk": 50.0}


def now_ms():
    return time.time_ns() // 1_000_000


def quiet_past(service, host="default", n=400, until_ms=None):
    """Twenty minutes of quiet samples that end now."""
    rng = np.random.default_rng(1)
    stop = until_ms or now_ms()
    values = np.round(30 + rng.normal(0, 1, (n, 4)), 1)
    times = stop - np.arange(n, 0, -1) * 3_000
    service.pipeline.accept(make_frame(times, [host] * n, values)).result(5)
    settled(service)


def test_ingest_answers_as_the_original_did(client):
    answer = client.post("/ingest", json={"timestamp": "2026-06-24T16:42:00.123456", **NORMAL})
    assert answer.json() == {
        "status": "success",
        "timestamp": "2026-06-24 16:42:00.123000+00:00",
        "accepted": 1,
        "rejected": [],
    }


def test_metrics_are_the_last_ten_minutes_in_the_originals_form(client, service):
    at = now_ms() - 60_000
    client.post("/ingest", json={"timestamp": at, **NORMAL})
    client.post("/ingest", json={"timestamp": at - 600_000, **NORMAL})
    settled(service)
    found = client.get("/metrics").json()
    assert (found["cpu"], found["memory"], found["disk"]) == ([30.0], [40.0], [50.0])
    assert found["timestamps"][0].endswith("+00:00")
    assert " " in found["timestamps"][0]


def test_metrics_without_data_say_so(client):
    answer = client.get("/metrics")
    assert (answer.status_code, answer.json()) == (200, {"message": "No data found"})


def test_metrics_without_a_host_are_this_machines_when_nothing_was_posted_for_default(client, service):
    service.pipeline.accept(make_frame([now_ms()], ["me"], [[1, 2, 3, 4]])).result(5)
    settled(service)
    assert client.get("/metrics").json()["host"] == "me"


def test_predict_looks_at_the_limits_first(client):
    answer = client.post("/predict", json={"cpu": 92.3, "memory": 88.1, "disk": 95.6}).json()
    assert (answer["prediction"], answer["reason"]) == ("anomaly", "Threshold exceeded")
    assert answer["severity"] == "critical"


def test_predict_of_a_normal_sample_is_normal(client):
    assert client.post("/predict", json=NORMAL).json()["prediction"] == "normal"


def test_predict_knows_what_is_usual_for_the_host(client, service):
    quiet_past(service)
    answer = client.post("/predict", json={"cpu": 70, "memory": 30, "disk": 30}).json()
    assert (answer["prediction"], answer["reason"]) == ("anomaly", "ML model")
    assert answer["sentence"].startswith("CPU 70")


def test_predict_neither_stores_nor_learns(client, service):
    quiet_past(service)
    before = service.judge.scorer.state.to_bytes()
    client.post("/predict", json={"cpu": 99, "memory": 30, "disk": 30})
    settled(service)
    assert service.judge.scorer.state.to_bytes() == before
    assert 99 not in client.get("/metrics").json()["cpu"]


def test_a_predicted_anomaly_alerts_once_however_often_it_is_asked(client, service, slack):
    sample = {"cpu": 99.0, "memory": 40.0, "disk": 50.0}
    client.post("/ingest", json=sample)
    settled(service)
    for _ in range(5):
        client.post("/predict", json=sample)
    settled(service)
    until(lambda: slack.bodies)
    assert len(service.state.open_incidents()) == 1
    assert service.state.outbox_count("slack", 0).sent_today == 1


def test_a_dry_run_only_asks(client, service):
    client.post("/predict?dry_run=true", json={"cpu": 99})
    settled(service)
    assert service.state.open_incidents() == []


def test_a_posted_anomaly_comes_back_as_the_original_gave_them(client, service):
    at = "2026-11-20 16:42:00+00:00"
    assert client.post("/anomaly", json={"timestamp": at, **NORMAL}).json() == {"status": "success"}
    settled(service)
    (row,) = client.get("/anomalies").json()
    assert {key: row[key] for key in ("_time", "cpu", "memory", "disk")} == {"_time": at, **NORMAL}


def test_no_anomalies_are_an_empty_list(client):
    assert client.get("/anomalies").json() == []


def test_the_anomaly_log_comes_as_csv_without_formulas(client, service):
    client.post("/anomaly", json=NORMAL)
    settled(service)
    lines = client.get("/anomalies?format=csv").text.splitlines()
    assert lines[0].startswith("_time,host,cpu,memory,disk,disk_io,score,reason")
    assert len(lines) == 2


@pytest.mark.parametrize("origin", ["http://localhost:4173", "http://localhost:5173"])
def test_the_originals_dashboard_may_call(client, origin):
    answer = client.get("/metrics", headers={"Origin": origin})
    assert answer.headers["access-control-allow-origin"] == origin
    assert client.post("/predict", json=NORMAL, headers={"Origin": origin}).status_code == 200


@pytest.mark.parametrize("path", ["/ingest", "/predict", "/anomaly"])
@pytest.mark.parametrize(("name", "body"), BAD + [(row[0], row[1]) for row in REFUSED])
def test_no_body_is_answered_with_a_500_or_its_own_words(client, path, name, body):
    answer = client.post(path, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422), name
    assert answer.headers["content-type"] == "application/problem+json"
    assert "yesterday" not in answer.text


def test_reads_still_work_after_all_bad_bodies(client, service):
    for _, body, *_ in [*BAD, *REFUSED]:
        client.post("/ingest", content=body)
    client.post("/ingest", json=NORMAL)
    settled(service)
    assert client.get("/metrics").json()["cpu"] == [30.0]
    assert service.counters.rejected_total >= len(BAD)


def test_a_batch_keeps_the_good_and_names_the_bad(client):
    answer = client.post("/ingest", json=[NORMAL, {"cpu": 140}, {**NORMAL, "host": "b"}]).json()
    assert answer["accepted"] == 2
    assert answer["rejected"] == [{"index": 1, "field": "cpu", "reason": "cpu is 140, allowed 0..100"}]


def test_ten_minutes_of_the_originals_simulator_ring_at_most_twice(client, service, slack):
    start = now_ms() - 240_000
    samples = original_profile(seed=5)
    for i in range(200):
        # ten minutes in order, as if time ran faster: all of them recent enough to be told
        body = {"timestamp": start + i * 1_150, **next(samples)}
        client.post("/ingest", content=json.dumps(body))
    settled(service, 30)
    until(lambda: service.state.outbox_count("slack", 0).waiting == 0, 20)
    opened = [body for body in slack.texts if "ALERT!" in body]
    assert 1 <= len(opened) <= 2
