"""A memory that is lost or refused is taught again from the store, and nothing is decided by that."""

import io

import numpy as np
import pytest

from monitor_core.frame import make_frame
from monitor_core.service import recovery
from monitor_core.storage.timeseries import StoreUnavailable
from tests.conftest import client_of, settled
from tests.service.test_original_api import now_ms, quiet_past


def lost(db):
    db.execute("DELETE FROM snapshot")


def unreadable(db):
    """As an earlier version wrote it, without the last column."""
    (body,) = db.execute("SELECT body FROM snapshot WHERE name = 'hosts'").fetchone()
    with np.load(io.BytesIO(body)) as saved:
        kept = {name: saved[name] for name in saved.files if name != "changes"}
    blob = io.BytesIO()
    np.savez(blob, **kept)
    db.execute("UPDATE snapshot SET body = ? WHERE name = 'hosts'", (blob.getvalue(),))


def spoil(service, how):
    """What is left of the snapshots when the service ends."""
    service.pipeline.leave_snapshot()
    service.file.run(how)
    service.pipeline.leave_snapshot = lambda: None


def forget_journal(service):
    """As after hours of running."""
    service.pipeline.leave_snapshot()
    service.maintain()
    assert service.journal.after(0, 1) == []


def end(service, how):
    forget_journal(service)
    spoil(service, how)


def send(service, values, at=None):
    service.pipeline.accept(make_frame([at or now_ms()], ["web-1"], [values])).result(5)
    settled(service)


@pytest.mark.parametrize("how", [lost, unreadable])
def test_a_host_without_a_memory_is_warm_with_its_first_sample(start, slack, how):
    service = start(slack_webhook_url=slack.url)
    quiet_past(service, "web-1", n=900, until_ms=now_ms() - 60_000)
    quiet_past(service, "web-2", n=900, until_ms=now_ms() - 7_200_000)
    end(service, how)
    service = start(slack_webhook_url=slack.url)
    hosts = client_of(service).get("/api/v1/hosts").json()["hosts"]
    assert [(host["warm"], host["stage"]) for host in hosts] == [(1.0, "learning the last hour")] * 2
    for i in range(4):
        send(service, [70, 30, 30, 30], now_ms() - 12_000 + i * 3_000)
    (incident,) = service.state.open_incidents()
    assert (incident.host, incident.detector) == ("web-1", "robust_z")


def test_what_was_unusual_in_the_hour_that_is_learned_again_opens_nothing(start, slack):
    service = start(slack_webhook_url=slack.url, recovery_seconds=1)
    quiet_past(service, "web-1", n=900, until_ms=now_ms() - 120_000)
    for i in range(20):
        send(service, [96 if i < 8 else 30, 30, 30, 30], now_ms() - 100_000 + i * 3_000)
    before = service.state.incidents(0, now_ms())
    told = service.state.outbox_count("slack", 0)
    end(service, lost)
    service = start(slack_webhook_url=slack.url, recovery_seconds=1)
    send(service, [30, 30, 30, 30])
    assert service.state.incidents(0, now_ms()) == before
    assert len(before) == 1
    after = service.state.outbox_count("slack", 0)
    assert after.waiting + after.sent_today == told.waiting + told.sent_today


def test_what_the_journal_will_bring_is_not_learned_twice(start):
    service = start()
    quiet_past(service, "web-1", n=900, until_ms=now_ms() - 60_000)
    forget_journal(service)
    for i in range(15):
        send(service, [30, 30, 30, 30], now_ms() - 50_000 + i * 3_000)
    before = service.judge.scorer.state.to_bytes()
    policy = service.judge.policy
    seen = int(policy.live_samples[policy.find("web-1")])
    spoil(service, lost)
    service = start()
    assert service.judge.scorer.state.samples[0] == 915
    assert service.judge.scorer.state.to_bytes() == before
    assert service.judge.policy.live_samples[0] == min(seen, 15)


def test_a_store_that_is_away_leaves_the_host_cold_and_the_service_running(start, monkeypatch):
    service = start()
    quiet_past(service, "web-1", n=900, until_ms=now_ms() - 60_000)
    end(service, lost)

    def away(*_):
        raise StoreUnavailable("it is away")

    monkeypatch.setattr(recovery, "_teach", away)
    service = start()
    assert client_of(service).get("/api/v1/hosts").json()["hosts"][0]["stage"] == "limits only"


def test_hosts_are_taught_in_groups_that_end_within_an_hour():
    until = {"a": 1, "b": recovery.HOUR_MS, "c": 2, **{f"h{i}": 5 * recovery.HOUR_MS for i in range(150)}}
    groups = list(recovery._near_in_time(until))
    assert [len(group) for group in groups] == [2, 1, 100, 50]
    assert np.concatenate(groups).tolist() == sorted(until, key=until.get)
