"""What is told of a host is true of the rule that opens its incidents: its own threshold, where there is one."""

import numpy as np
import pytest

from monitor_core.detection.detectors.robust_z import score_of
from monitor_core.detection.votes import distance_of
from monitor_core.frame import make_frame
from monitor_core.incidents import Kind
from tests.conftest import client_of, settled
from tests.service.test_original_api import now_ms

STEP = 3_000
BODY = {"host": "web-1", "memory": 30, "disk": 30, "disk_io": 30}


def past(service, hours=4.0, simulated=False, until_ms=None):
    """A quiet host at a sample each 3 s; known to the budget after three hours."""
    n = int(hours * 3_600_000 / STEP)
    values = np.round(30 + np.random.default_rng(1).normal(0, 0.2, (n, 4)), 1)
    times = (until_ms or now_ms()) + (np.arange(n) - n) * STEP
    service.pipeline.accept(make_frame(times, ["web-1"] * n, values, simulated)).result(30)
    settled(service, 120)


@pytest.fixture
def known(start_after):
    return start_after(past)


def asks_for(service, threshold):
    """From now on this is the threshold that the budget asks for, in scales."""
    with service.pipeline.lock:
        row = service.judge.spending.find("web-1")
        service.judge.spending.threshold[row] = threshold
        service.judge.spending.decided_at[row] = now_ms()
    return service.judge.bar("web-1", now_ms()).distance


def predict(client, cpu, **more):
    return client.post("/predict?dry_run=true", json=BODY | {"cpu": round(cpu, 2)} | more).json()


def cpu_at(client, distance, high=84.0):
    """The CPU at which the host is this many scales from what is usual."""
    low = 30.0
    while high - low > 0.005:
        middle = (low + high) / 2
        far = distance_of(np.array([predict(client, middle)["score"]]))[0]
        low, high = (middle, high) if far < distance else (low, middle)
    return high


def shows(service, cpu, n=8):
    """So many samples with this CPU; the level is theirs after four of them."""
    row = service.judge.policy.find("web-1")
    times = service.judge.policy.last_time[row] + np.arange(1, n + 1) * STEP
    service.pipeline.accept(make_frame(times, ["web-1"] * n, [[cpu, 30, 30, 30]] * n)).result(5)
    settled(service)
    return service.judge.desk.open.get(("web-1", Kind.ABNORMAL))


@pytest.mark.parametrize("threshold", [3.0, 6.0])
def test_predict_agrees_with_what_opens(known, threshold):
    """One is a little below the alarm score, after a quiet hour; one far above."""
    client = client_of(known)
    bar = asks_for(known, threshold)
    assert 3.5 < bar < 3.85 if threshold < 4 else bar > 5
    below, above = (cpu_at(client, bar + by) for by in (-0.1, 0.1))
    told = predict(client, below)
    assert (told["prediction"], told["since"], told["counterfactual"]) == ("normal", None, None)
    assert told["unusual_from"] == pytest.approx(float(score_of(np.float64(bar))), abs=0.001)
    told = predict(client, above)
    assert (told["prediction"], told["reason"]) == ("anomaly", "ML model")
    assert told["since"] is not None
    assert shows(known, below) is None
    assert client.get("/api/v1/explanation?host=web-1").json()["prediction"] == "normal"
    opened = shows(known, cpu_at(client, bar + 1.5))
    assert opened.unusual_from < opened.peak_score


def test_the_way_back_leads_to_where_this_host_is_normal(known):
    client = client_of(known)
    bar = asks_for(known, 6.0)
    told = predict(client, 80.0)
    (((change,),)) = told["counterfactual"]["ways"]
    assert change["metric"] == "cpu"
    assert cpu_at(client, bar) - 1.01 <= change["value"] <= cpu_at(client, bar)
    opened = shows(known, 80.0)
    (((own,),)) = opened.counterfactual.ways
    assert own.value == pytest.approx(change["value"], abs=2)
    assert cpu_at(client, 4.0) + 3 < own.value


def test_a_way_back_that_was_told_really_opens_nothing(known):
    client = client_of(known)
    asks_for(known, 6.0)
    (((change,),)) = predict(client, 80.0)["counterfactual"]["ways"]
    assert shows(known, change["value"]) is None


def test_limits_keep_their_own(known):
    client = client_of(known)
    asks_for(known, np.inf)
    assert predict(client, 84.0)["prediction"] == "normal"
    told = predict(client, 97.0)
    assert (told["prediction"], told["reason"], told["unusual_from"]) == ("anomaly", "Threshold exceeded", 1.0)
    assert told["counterfactual"]["ways"][0][0]["value"] == 85.0
    opened = shows(known, 97.0)
    assert (opened.unusual_from, opened.counterfactual.ways[0][0].value) == (None, 82.0)


@pytest.mark.parametrize("why", ["too young", "simulated", "no budget"])
def test_without_a_threshold_of_its_own_the_alarm_score_holds(start, why):
    service = start(**({"alerts_per_week": 0} if why == "no budget" else {}))
    past(service, hours=1.0 if why == "too young" else 4.0, simulated=why == "simulated")
    client = client_of(service)
    told = predict(client, cpu_at(client, 3.9), simulated=why == "simulated")
    assert (told["unusual_from"], told["prediction"]) == (0.75, "normal")
    assert predict(client, cpu_at(client, 4.1), simulated=why == "simulated")["prediction"] == "anomaly"
    assert client.get("/api/v1/hosts/web-1/budget").json()["unusual_from"] == 0.75


def test_the_past_is_judged_by_the_bar_of_its_incident_else_by_the_threshold_of_now(start):
    service = start()
    past(service, until_ms=now_ms() - 600_000)
    client = client_of(service)
    asks_for(service, 5.0)
    cpu, at = cpu_at(client, 6.5), now_ms() - 590_000
    times = at + np.arange(180) * STEP
    values = np.full((180, 4), 30.0)
    values[:6, 0] = cpu
    service.pipeline.accept(make_frame(times, ["web-1"] * 180, values)).result(5)
    settled(service)
    (incident,) = service.state.incidents(at, now_ms(), "web-1")
    assert incident.resolved_at is not None
    asks_for(service, 12.0)
    told = client.get(f"/api/v1/explanation?host=web-1&time={at + 5 * STEP}").json()
    assert (told["prediction"], told["unusual_from"]) == ("anomaly", pytest.approx(incident.unusual_from, abs=0.001))
    told = client.get(f"/api/v1/explanation?host=web-1&time={at - STEP}").json()
    assert told["prediction"] == "normal"
    assert told["unusual_from"] == pytest.approx(float(score_of(np.float64(11.52))), abs=0.005)
