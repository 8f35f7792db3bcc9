"""The database goes away and comes back: nothing is lost, nothing comes twice, and nobody waits for it."""

from __future__ import annotations

import time

import numpy as np
import pytest
from starlette.testclient import TestClient

from monitor_core.frame import make_frame
from monitor_core.incidents import Kind
from monitor_core.service import storing
from tests.conftest import client_of, settled, until
from tests.service.test_original_api import now_ms
from tests.storage.influxdb.stub import InfluxStub, refusal

AWAY = refusal(503, "unavailable")
MINUTE = 60_000


@pytest.fixture
def influx():
    with InfluxStub() as stub:
        yield stub


@pytest.fixture
def quick(monkeypatch):
    """Tries come as fast as after the first failure: what is tested is what happens, not how long it takes."""
    monkeypatch.setattr(storing, "LONGEST_DELAY_SECONDS", 0.1)


def begin(start, influx, **more):
    return start(influxdb_url=influx.url, influxdb_token="canary-token", influxdb_org="o", influxdb_bucket="b", **more)


def post(service, n, host="web-1", cpu=30.0, ago=5 * MINUTE, step=100):
    """n samples of one host, one entry each."""
    at = now_ms() - ago
    frames = [make_frame([at + i * step], [host], [[cpu, 30, 30, 30]]) for i in range(n)]
    last = [service.pipeline.accept(frame) for frame in frames][-1].result(5)
    until(lambda: service.pipeline.scored_position >= last)


def test_what_the_database_did_not_take_arrives_once_and_in_order(start, influx, quick):
    service = begin(start, influx)
    influx.always = AWAY
    post(service, 700)
    assert influx.samples("b") == 0
    influx.always = None
    settled(service)
    assert (influx.samples("b"), influx.repeated, influx.out_of_order) == (700, 0, 0)


def test_incidents_and_slack_go_on_without_the_database(start, influx, slack, quick):
    service = begin(start, influx, slack_webhook_url=slack.url)
    influx.always = AWAY
    post(service, 1, cpu=99.0, ago=1000)
    until(lambda: slack.bodies)
    assert ("web-1", Kind.ABNORMAL) in service.judge.desk.open


def test_a_restart_while_it_is_away_loses_nothing(start, influx, quick):
    service = begin(start, influx)
    influx.always = AWAY
    post(service, 50)
    service = begin(start, influx)
    influx.always = None
    settled(service)
    assert influx.samples("b") == 50


def test_a_start_without_its_database_works_and_says_so(start, influx, quick):
    influx.always = AWAY
    service = begin(start, influx)
    post(service, 3)
    until(lambda: service.storing.away is not None)
    ready = client_of(service).get("/-/ready")
    assert ready.status_code == 503
    assert "takes no samples, since" in ready.json()["problems"][0]
    assert "InfluxDB answers 503: unavailable. 3 samples wait in the journal." in ready.json()["problems"][0]


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_refusal_is_an_alarm_for_somebody_and_keeps_everything(start, influx, quick, status):
    service = begin(start, influx)
    influx.always = refusal(status, "no")
    post(service, 5)
    until(lambda: service.storing.away is not None)
    system = client_of(service).get("/api/v1/system").json()
    assert system["store"]["needs_operator"]
    assert "until somebody sets it right" in system["problems"][0]
    assert system["store"]["backlog_samples"] == 5
    assert "canary" not in str(system)
    influx.always = None
    settled(service)
    assert influx.samples("b") == 5


def test_a_poisoned_sample_costs_itself_and_is_kept_apart_with_its_reason(start, influx):
    service = begin(start, influx)
    at = now_ms() - MINUTE
    hosts = [f"h{i}" for i in range(999)] + ["poison"]
    service.pipeline.accept(make_frame([at] * 1000, hosts, np.full((1000, 4), 30.0))).result(5)
    settled(service)
    assert influx.samples("b") == 999
    refused = client_of(service).get("/api/v1/system").json()["refused_by_store"]
    assert refused["count"] == 1
    assert refused["newest"][0]["reason"] == "missing field value"
    assert refused["newest"][0]["sample"].startswith("system_metrics,host=poison cpu=30.0")


def test_a_retry_after_of_a_day_costs_a_minute_at_most(start, influx, monkeypatch):
    waits = []
    monkeypatch.setattr(storing, "next_delay_seconds", lambda *given: waits.append(given) or 0.05)
    service = begin(start, influx)
    influx.script = [refusal(503, "unavailable", Retry_After="86400")]
    post(service, 1)
    settled(service)
    assert waits[0][1] == 86400.0
    monkeypatch.undo()
    assert storing.next_delay_seconds(*waits[0]) == 60.0


def test_what_waits_is_bounded_and_the_oldest_is_given_up(start, influx, quick):
    service = begin(start, influx, spool_max_bytes=1 << 20)
    influx.always = AWAY
    at, n = now_ms() - 4 * MINUTE, 40
    hosts = [f"h{k}" for k in range(1000)]
    for i in range(n):
        service.pipeline.accept(make_frame([at + i] * 1000, hosts, np.full((1000, 4), 30.0))).result(5)
    until(lambda: service.storing.given_up > 0)
    until(lambda: service.journal.backlog(service.storing.stored_position).bytes <= 1 << 20)
    assert "were given up" in client_of(service).get("/-/ready").text
    influx.always = None
    settled(service)
    assert influx.samples("b") == n * 1000 - service.storing.given_up
    assert min(min(times) for times in influx.lines["b"].values()) > at


def test_the_pages_show_the_last_minutes_from_the_journal(start, influx, quick):
    service = begin(start, influx)
    influx.always = AWAY
    post(service, 20, ago=2 * MINUTE)
    until(lambda: service.storing.away is not None)
    client = client_of(service)
    series = client.get("/api/v1/series?host=web-1&start=-1h&max_points=1000").json()
    assert (series["tier"], len(series["time"])) == ("journal", 20)
    assert series["metrics"]["cpu"]["mean"][0] == 30.0
    assert client.get("/api/fleet?range=1h").json()["time"] != []
    assert any("takes no samples" in line for line in client.get("/api/state").json()["notices"])


def p99_of_posts(client: TestClient, n: int) -> float:
    took = []
    for _ in range(n):
        started = time.perf_counter()
        assert client.post("/ingest", json={"cpu": 30}).status_code == 200
        took.append(time.perf_counter() - started)
    return float(np.quantile(took, 0.99))


def test_a_database_that_hangs_holds_nobody_up(start, influx, monkeypatch):
    service = begin(start, influx)
    hang = time.sleep
    monkeypatch.setattr(influx, "write", lambda *_: hang(3) or AWAY)
    assert p99_of_posts(client_of(service), 50) < 1.0
