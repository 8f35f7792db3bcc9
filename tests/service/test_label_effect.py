"""What labels change is shown before a new version speaks: by replaying the same samples without and with them."""

import numpy as np
import pytest

from monitor_core.frame import make_frame
from monitor_core.labels import Label
from tests.conftest import client_of, settled
from tests.service.test_original_api import now_ms

STEP_MS = 3_000
EPISODE, QUIET_FOR = 12, 60
QUICK = {"recovery_seconds": 9, "silence_minimum_seconds": 3_600, "alarm_score": 0.75}


def episodes(service, *metrics, host="web-1", simulated=False):
    """Forty minutes of a quiet host, then one episode of each metric (twelve samples at 60 %), a few minutes apart."""
    rng = np.random.default_rng(2)
    n = 800 + len(metrics) * (EPISODE + QUIET_FOR)
    values = np.round(30 + rng.normal(0, 1, (n, 4)), 1)
    for i, metric in enumerate(metrics):
        start = 800 + i * (EPISODE + QUIET_FOR)
        values[start : start + EPISODE, ("cpu", "memory").index(metric)] += 30
    times = now_ms() - np.arange(n, 0, -1) * STEP_MS
    for part in np.array_split(np.arange(n), 20):  # not one long stretch that comes too late to be told
        service.pipeline.accept(make_frame(times[part], [host] * len(part), values[part], simulated)).result(5)
    settled(service)
    found = service.state.incidents(0, now_ms() + 1, host)
    assert len(found) == len(metrics)
    return list(reversed(found))


def trained(service, n=1):
    for _ in range(n):
        service.learning.wait(60)
        service.learning.start("by hand", ask=True)
        service.learning.wait(60)
        assert service.learning.job.state == "done", service.learning.job


def compared(service):
    seen = client_of(service).get("/api/v1/models").json()
    return seen["challenger"] or seen["compared"]


@pytest.fixture
def service(start):
    return start(**QUICK)


def test_without_labels_nothing_is_said_of_them(service):
    episodes(service, "cpu", "memory")
    trained(service, 2)
    told = compared(service)
    assert told["comparison"]["labels"] is None
    assert told["label_sentence"] is None
    assert told["comparison"]["challenger"]["opened"] == 2


@pytest.mark.parametrize("word", ["never", "expected"])
def test_what_a_label_keeps_quiet_is_counted_and_the_real_one_is_still_found(service, word):
    first, _, real, _ = episodes(service, "cpu", "cpu", "memory", "cpu")
    service.pipeline.label(first.id, Label(word), None)
    service.pipeline.label(real.id, Label.REAL, None)
    trained(service, 2)
    told = compared(service)
    labels = told["comparison"]["labels"]
    assert (labels["labels"], labels["alerts_without"], labels["alerts_with"]) == (2, 4, 1)
    assert [item["metric"] for item in labels["quieter"]] == ["cpu"] * 3
    assert (labels["real"], labels["real_found_without"], labels["real_found"]) == (1, 1, 1)
    lasted = told["label_sentence"].partition(" in these ")[2].partition(";")[0]
    assert lasted in {"54 min", "55 min"}
    assert told["label_sentence"] == (
        f"With your 2 labels: 3 fewer alerts in these {lasted}; the one that you marked as real is still found."
    )


def test_labels_of_the_same_pattern_hide_a_real_one_and_it_is_said(service):
    first, real = episodes(service, "cpu", "cpu")
    service.pipeline.label(real.id, Label.REAL, None)
    service.pipeline.label(first.id, Label.NEVER, None)
    trained(service, 2)
    assert (
        "but only 0 of 1 that you marked as real would be told, without them 1" in compared(service)["label_sentence"]
    )


def test_samples_learned_from_because_of_labels_are_counted_and_those_left_out(service):
    normal, real = episodes(service, "cpu", "memory")
    trained(service)
    without = service.learning.versions()[0].samples
    service.pipeline.label(normal.id, Label.EXPECTED, None)
    service.pipeline.label(real.id, Label.REAL, None)
    trained(service)
    labels = compared(service)["comparison"]["labels"]
    assert service.learning.versions()[0].samples - without == labels["added"]
    lasts = (normal.resolved_at - normal.opened_at) / STEP_MS + 1
    assert labels["added"] >= lasts - 1
    assert labels["left_out"] >= (real.resolved_at - real.opened_at) / STEP_MS


def test_a_new_normal_begins_again_in_the_replay_too(service):
    """Without the label it lasts until the end; with it the second episode is normal where the first one was."""
    rng = np.random.default_rng(2)
    n = 800
    values = np.round(30 + rng.normal(0, 1, (n, 4)), 1)
    values[700:, 0] += 30
    times = now_ms() - np.arange(n, 0, -1) * STEP_MS
    service.pipeline.accept(make_frame(times[:740], ["web-1"] * 740, values[:740])).result(5)
    settled(service)
    (incident,) = service.state.open_incidents()
    service.pipeline.label(incident.id, Label.NEW_NORMAL, None)
    record = service.state.label_of(incident.id)
    assert record.relearned
    service.pipeline.accept(make_frame(times[740:], ["web-1"] * 60, values[740:])).result(5)
    settled(service)
    assert service.state.open_incidents() == []
    trained(service, 2)
    known = compared(service)["comparison"]
    assert known["labelled"] == {"new_normal": 1}
    assert known["labels"]["alerts_with"] == known["labels"]["alerts_without"] == 1


def test_the_replay_judges_as_the_service_did(service):
    """What is told without labels is what the service opened."""
    found = episodes(service, "cpu", "memory", "cpu")
    service.pipeline.label(found[1].id, Label.REAL, None)
    trained(service, 2)
    labels = compared(service)["comparison"]["labels"]
    assert labels["alerts_without"] == labels["alerts_with"] == len(found)
