"""What is said of a label before it is set is what it then does."""

import numpy as np
import pytest

from monitor_core.detection import alert_budget
from monitor_core.frame import make_frame
from monitor_core.labels import Label
from tests.conftest import client_of, settled
from tests.service.test_label_effect import QUICK, episodes
from tests.service.test_labels import Host
from tests.service.test_original_api import now_ms

MINUTE = 60_000


def preview(service, incident):
    return client_of(service).get(f"/api/v1/incidents/{incident.id}/label/preview").json()


def put(service, incident, label):
    answer = client_of(service).put(f"/api/v1/incidents/{incident.id}/label", json={"label": label})
    return answer.json()["labelled"]


def test_similar_incidents_are_counted_and_named(start):
    service = start(**QUICK)
    first, second, other, third = episodes(service, "cpu", "cpu", "memory", "cpu")
    told = preview(service, first)["never"]
    assert (told["similar"], told["similar_total"], told["similar_real"]) == ([third.id, second.id], 2, 0)
    service.pipeline.label(second.id, Label.REAL, None)
    assert preview(service, first)["never"]["sentence"].endswith("would not have opened, 1 of them marked as real.")
    assert preview(service, other)["never"]["similar_total"] == 0
    assert put(service, first, "never")["hindsight"]["similar"] == [third.id, second.id]
    listed = client_of(service).get("/api/v1/labels").json()["labels"]
    assert {record["label"]: record["hindsight"]["similar_total"] for record in listed} == {"never": 2, "real": 0}
    shown = client_of(service).get(f"/api/v1/incidents/{first.id}").json()["labelled"]["hindsight"]
    assert shown["similar_total"] == 2
    assert client_of(service).get("/api/v1/incidents/999/label/preview").status_code == 404


def bursts(service, days=5, a_day=6):
    """A host at a sample a minute that bursts so often that its budget asks for more than the default."""
    rng = np.random.default_rng(3)
    n = days * 1_440
    values = np.round(30 + rng.normal(0, 1, (n, 4)), 1)
    for k in range(days * a_day):
        at = k * 1_440 // a_day + 100
        values[at : at + 10, 0] += 24 + rng.normal(0, 3)
    times = now_ms() - np.arange(n, 0, -1) * MINUTE
    service.pipeline.accept(make_frame(times, ["web-1"] * n, values)).result(20)
    settled(service, 60)
    return [found for found in service.state.incidents(0, now_ms(), "web-1", limit=500) if found.resolved_at]


def threshold(service):
    with service.pipeline.lock:
        judge, row = service.judge, service.judge.spending.find("web-1")
        asked = alert_budget.thresholds(judge.spending, judge.budget, np.array([row]), np.array([True]))
    return 1 - 2 ** (-asked[0] / 2)


def test_the_threshold_that_is_foreseen_comes_true(start):
    service = start(**QUICK)
    found = bursts(service)
    changed = 0
    for incident in sorted(found, key=lambda one: one.peak_score)[-8:]:
        foreseen = preview(service, incident)["real"]
        before, after = foreseen["threshold"]["before"], foreseen["threshold"]["after"]
        assert after <= before
        answer = put(service, incident, "real")["hindsight"]
        assert answer["threshold"] == pytest.approx({"before": before, "after": after})
        at = now_ms()
        service.pipeline.accept(make_frame([at], ["web-1"], [[30.0] * 4])).result(5)
        settled(service)
        assert threshold(service) == pytest.approx(after, abs=1e-9)
        if after < before - 0.0005:
            changed += 1
            assert answer["sentence"] == (
                f"Threshold of web-1 from {before:.3f} to {after:.3f}, "
                "because a real alert does not count against its budget."
            )
    assert changed, "no label moved the threshold: this test shows nothing"


def test_a_preview_changes_nothing(start):
    service = start(**QUICK)
    (incident, *_) = bursts(service, days=2)
    before = service.judge.snapshots()
    preview(service, incident)
    assert service.judge.snapshots() == before


def test_the_score_that_a_new_normal_foresees_comes_true(start):
    host = Host(start(**QUICK))
    host.shows(12, cpu=60)
    foreseen = preview(host.service, host.open())["new_normal"]
    before, after = foreseen["score"]["before"], foreseen["score"]["after"]
    assert before >= 0.75 > after
    told = put(host.service, host.open(), "new_normal")
    assert told["relearned"]
    assert told["hindsight"]["sentence"] == foreseen["sentence"] != ""
    host.shows(3, cpu=60)
    sample = {"host": "web-1", "cpu": 60, "memory": 30, "disk": 30, "disk_io": 30}
    score = client_of(host.service).post("/predict?dry_run=true", json=sample).json()["score"]
    assert score == pytest.approx(after, abs=0.15)


def test_a_host_without_a_budget_has_no_threshold_to_move(start):
    service = start(**QUICK)
    first, *_ = episodes(service, "cpu", simulated=True)
    told = preview(service, first)["real"]
    assert (told["threshold"], told["sentence"]) == (None, "")
