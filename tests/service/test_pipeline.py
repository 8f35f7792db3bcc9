"""The whole way, from a body to Slack and back, over restarts and outages."""

import numpy as np
import pytest

from monitor_core.frame import make_frame
from monitor_core.incidents import Kind, State
from monitor_core.service import pipeline
from monitor_core.service.bootstrap import AlreadyRunning, build
from monitor_core.service.judge import Judge
from monitor_core.storage.timeseries import StoreUnavailable
from tests.alerting.slack_stub import SlackStub
from tests.conftest import client_of, settled, until
from tests.service.test_original_api import now_ms, quiet_past

QUIET = [30.0, 30.0, 30.0, 30.0]


def send(service, host, values, ago_ms=0):
    service.pipeline.accept(make_frame([now_ms() - ago_ms], [host], [values])).result(5)
    settled(service)


def told(service):
    return service.state.outbox_count("slack", 0)


def test_one_fault_is_one_message_when_it_opens_and_one_when_it_ends(start, slack):
    service = start(slack_webhook_url=slack.url, recovery_seconds=1)
    client = client_of(service)
    at = now_ms() - 100_000
    for i in range(40):
        cpu = 96.0 if 10 <= i < 20 else 30.0
        body = {"host": "web-1", "timestamp": at + i * 1_000, "cpu": cpu, "memory": 30, "disk": 30}
        assert client.post("/ingest", json=body).status_code == 200
    settled(service)
    until(lambda: len(slack.bodies) == 2 or told(service).sent_today == 2)
    text = "\n".join(slack.texts)
    assert text.count("ALERT! High metrics detected: CPU = 96.0% | Mem = 30.0% | Disk = 30.0%") == 1
    assert text.count("[RESOLVED") == 1
    (incident,) = service.state.incidents(0, now_ms())
    assert incident.state is State.RESOLVED


def test_a_restart_in_the_middle_neither_reopens_nor_loses_an_incident(start, slack):
    service = start(slack_webhook_url=slack.url)
    quiet_past(service, "web-1", until_ms=now_ms() - 60_000)
    send(service, "web-1", [96, 30, 30, 30], ago_ms=10_000)
    until(lambda: told(service).sent_today == 1)
    service = start(slack_webhook_url=slack.url)
    send(service, "web-1", [97, 30, 30, 30], ago_ms=5_000)
    assert len(service.state.incidents(0, now_ms())) == 1
    assert told(service).sent_today == 1
    assert service.judge.desk.open["web-1", Kind.ABNORMAL].peak_score > 0.9


def test_a_restart_scores_as_if_there_had_been_none(start):
    service = start()
    quiet_past(service, "web-1", until_ms=now_ms() - 60_000)
    service.pipeline.snapshot_soon()
    send(service, "web-1", QUIET, ago_ms=50_000)
    send(service, "web-1", [44, 30, 30, 30], ago_ms=40_000)
    before = service.judge.scorer.state.to_bytes()
    service = start()
    assert service.judge.scorer.state.to_bytes() == before


def test_what_was_acknowledged_but_not_decided_is_decided_after_a_restart(start):
    service = start()
    service.pipeline.stop()
    until(lambda: "scoring" in service.dead_threads())
    service.pipeline.accept(make_frame([now_ms()], ["web-1"], [[99, 30, 30, 30]])).result(5)
    service = start()
    settled(service)
    assert [incident.host for incident in service.state.open_incidents()] == ["web-1"]
    assert len(service.store.series("web-1", now_ms() - 60_000, now_ms(), 10).time) == 1


def test_an_outage_of_the_store_delays_neither_scores_nor_alerts_and_loses_nothing(start, slack, monkeypatch):
    service = start(slack_webhook_url=slack.url)
    write, away = service.store.write, [True]

    def sometimes(frame, scores):
        if away[0]:
            raise StoreUnavailable("it is away")
        return write(frame, scores)

    monkeypatch.setattr(service.store, "write", sometimes)
    at = now_ms() - 60_000
    for i in range(700):
        values = [99, 30, 30, 30] if i == 650 else QUIET
        service.pipeline.accept(make_frame([at + i * 50], ["web-1"], [values]))
    until(lambda: told(service).sent_today == 1)
    assert service.storing.stored_position == 0
    assert client_of(service).get("/-/ready").status_code == 503
    away[0] = False
    settled(service)
    series = service.store.series("web-1", at, now_ms(), 2_000)
    assert series.time.tolist() == [at + i * 50 for i in range(700)]
    assert client_of(service).get("/-/ready").status_code == 200


def test_a_fault_in_a_detector_is_said_and_the_samples_are_stored(start, monkeypatch):
    service = start()
    monkeypatch.setitem(service.judge.ways, "samples", lambda *_: 1 / 0)
    send(service, "web-1", QUIET)
    assert len(service.store.series("web-1", now_ms() - 60_000, now_ms(), 10).time) == 1
    assert "ZeroDivisionError" in client_of(service).get("/-/ready").json()["problems"][0]


def test_a_slow_slack_does_not_hold_up_ingest(start):
    with SlackStub(delay=2.0) as slow:
        service = start(slack_webhook_url=slow.url)
        send(service, "web-1", [99, 30, 30, 30])
        send(service, "web-2", [99, 30, 30, 30])
        assert len(service.state.open_incidents()) == 2


def test_old_samples_open_from_history_and_ring_nobody(start, slack):
    service = start(slack_webhook_url=slack.url)
    hour_ago = now_ms() - 3_600_000
    service.pipeline.accept(make_frame([hour_ago], ["web-1"], [[99, 30, 30, 30]])).result(5)
    settled(service)
    (incident,) = service.state.open_incidents()
    assert (incident.from_history, incident.told) == (True, False)
    assert "not told: from history" in [line.what for line in service.state.timeline(incident.id)]


def test_what_began_in_history_and_still_goes_on_is_told(start, slack):
    service = start(slack_webhook_url=slack.url)
    service.pipeline.accept(make_frame([now_ms() - 3_600_000], ["web-1"], [[99, 30, 30, 30]])).result(5)
    send(service, "web-1", [98, 30, 30, 30])
    until(lambda: told(service).sent_today == 1)
    assert len(service.state.open_incidents()) == 1


def test_a_long_history_that_comes_late_is_scored_decided_and_over(start):
    service = start()
    quiet_past(service, "web-1")
    rng = np.random.default_rng(0)
    values = np.round(30 + rng.normal(0, 1, (1_200, 4)), 1)
    values[700:750, 0] = 97
    old = now_ms() - 7_200_000 + np.arange(1_200) * 3_000
    memory = service.judge.scorer.state.to_bytes()
    service.pipeline.accept(make_frame(old, ["web-1"] * 1_200, values)).result(5)
    settled(service)
    (incident,) = service.state.incidents(0, now_ms())
    assert (incident.state, incident.from_history) == (State.RESOLVED, True)
    assert service.judge.scorer.state.to_bytes() == memory
    assert len(service.store.anomalies(0, now_ms())) >= 50


def test_a_silent_host_is_told_once_and_heard_again(start, slack):
    service = start(slack_webhook_url=slack.url, silence_minimum_seconds=0.3, silence_factor=2)
    for i in range(25):
        service.pipeline.accept(make_frame([now_ms() - (25 - i) * 100], ["web-1"], [QUIET])).result(5)
    settled(service)
    until(lambda: told(service).sent_today == 1)
    (incident,) = service.state.open_incidents()
    assert (incident.kind, incident.reason) == (Kind.SILENT, "no_samples")
    send(service, "web-1", QUIET)
    until(lambda: told(service).sent_today == 2)
    assert "[RESOLVED" in slack.texts[-1]


def test_the_same_sample_twice_counts_once(start):
    service = start()
    frame = make_frame([now_ms()], ["web-1"], [[99, 30, 30, 30]])
    for _ in range(3):
        service.pipeline.accept(frame).result(5)
    settled(service)
    assert service.judge.scorer.state.samples[0] == 1
    assert len(service.store.anomalies(0, now_ms() + 1)) == 1


def test_the_journal_is_emptied_once_everybody_has_read_it(start):
    service = start()
    send(service, "web-1", QUIET)
    service.pipeline.snapshot_soon()
    send(service, "web-1", QUIET)
    service.maintain()
    assert service.journal.after(0, 10) == []


def test_two_services_never_share_a_folder(start):
    service = start()
    with pytest.raises(AlreadyRunning, match="already running"):
        build(service.settings)


def test_a_start_after_a_proper_end_judges_nothing_again(start, monkeypatch):
    service = start()
    quiet_past(service, "web-1", n=500)
    state = service.judge.scorer.state.to_bytes()
    judged = []
    monkeypatch.setattr(Judge, "samples", lambda *given: judged.append(given))
    service = start()
    assert judged == []
    assert service.judge.scorer.state.to_bytes() == state


def test_a_long_past_is_in_a_snapshot_before_it_is_long_to_judge_again(start, monkeypatch):
    monkeypatch.setattr(pipeline, "SNAPSHOT_ROWS", 300)
    service = start()
    quiet_past(service, "web-1", n=400)
    assert service.state.snapshot("hosts")[0] == service.journal.last()
