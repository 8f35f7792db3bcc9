import time

import pytest

from monitor_core.frame import make_frame
from monitor_core.service.storing import Away
from tests.conftest import settled, until
from tests.service.test_original_api import now_ms, quiet_past


def breach(service, host="web-1"):
    service.pipeline.accept(make_frame([now_ms()], [host], [[99, 30, 30, 30]])).result(5)
    settled(service)
    (incident,) = service.state.open_incidents()
    return incident


def test_an_empty_service_says_so(client):
    state = client.get("/api/state").json()
    assert (state["hosts"], state["incidents"], state["earlier"]) == ([], [], [])
    assert client.get("/api/fleet?range=1h").json()["time"] == []


def test_a_host_shows_its_newest_sample_and_what_was_expected(client, service):
    quiet_past(service, "web-1")
    (host,) = client.get("/api/v1/hosts").json()["hosts"]
    assert host["name"] == "web-1"
    assert host["warm"] == 1
    assert host["low"][0] < host["values"][0] < host["high"][0]


def test_series_say_their_tier(client, service):
    quiet_past(service, "web-1")
    raw = client.get("/api/v1/series?host=web-1&start=-1h&max_points=2000").json()
    assert (raw["tier"], raw["bucket_ms"], len(raw["time"])) == ("raw", 0, 400)
    assert client.get("/api/v1/series?host=web-1&start=-30d&max_points=500").json()["tier"] == "half_hour"
    assert client.get("/api/v1/series.csv?host=web-1&start=-1h&max_points=2000").text.count("\n") == 401


@pytest.mark.parametrize(
    "query", ["host=a&start=x", "host=a&max_points=0", "host=a&start=-1h&stop=-2h", "max_points=5"]
)
def test_bad_questions_are_422(client, query):
    assert client.get(f"/api/v1/series?{query}").status_code == 422


def test_an_incident_is_acknowledged_with_a_note(client, service):
    incident = breach(service)
    answer = client.post(f"/api/v1/incidents/{incident.id}/acknowledge", json={"note": "on it"}).json()
    assert (answer["state"], answer["note"]) == ("acknowledged", "on it")
    detail = client.get(f"/api/v1/incidents/{incident.id}").json()
    assert "acknowledged" in [line["what"] for line in detail["timeline"]]
    assert client.get("/api/v1/incidents?state=open").json()["incidents"][0]["id"] == incident.id


def test_what_does_not_exist_is_404(client):
    for path in ("/api/v1/incidents/99", "/api/v1/incidents/99999999999999999999"):
        assert client.get(path).status_code == 404
    assert client.post("/api/v1/incidents/99/acknowledge", json={}).status_code == 404
    assert client.post("/api/v1/models/99/activate").status_code == 404
    assert client.post("/api/v1/hosts/nobody/forget").status_code == 404


def test_forgetting_a_host_ends_its_incidents_and_removes_it(client, service):
    incident = breach(service)
    assert client.post("/api/v1/hosts/web-1/forget").status_code == 200
    assert service.state.incident(incident.id).resolved_reason == "host_forgotten"
    assert client.get("/api/v1/hosts").json()["hosts"] == []


def test_the_log_of_incidents_comes_as_csv(client, service):
    breach(service)
    assert client.get("/api/v1/incidents.csv").text.splitlines()[1].split(",")[1] == "web-1"


def test_retraining_on_shifted_history_scores_otherwise_and_the_old_version_scores_as_before(client, service):
    quiet_past(service, "web-1", n=600)
    others = {"host": "web-1", "memory": 30.0, "disk": 30.0, "disk_io": 30.0}

    def ask():  # two forests may give one sample the same three decimals, but not ten samples
        return [client.post("/predict?dry_run=true", json={"cpu": 36.0 + i, **others}).json() for i in range(10)]

    def votes(answers):
        return [answer["detectors"]["isolation_forest"] for answer in answers]

    def train():
        assert client.post("/api/v1/models/train").status_code == 202
        service.learning.wait(30)

    train()
    first = ask()
    shifted = make_frame(
        [now_ms() - i * 3_000 for i in range(700)],
        ["web-2"] * 700,
        [[60 + i % 25, 30, 30, 30] for i in range(700)],
    )
    service.pipeline.accept(shifted.take(slice(None, None, -1))).result(5)
    settled(service)
    train()
    second = ask()
    assert (first[0]["model_version"], second[0]["model_version"]) == (1, 2)
    assert votes(first) != votes(second)
    assert client.post("/api/v1/models/1/activate").json() == {"active": 1}
    assert ask() == first


def test_the_active_version_speaks_again_after_a_restart(start):
    service = start()
    quiet_past(service, "web-1", n=600)
    for _ in range(2):
        service.learning.start("by hand")
        service.learning.wait(30)
    service.learning.activate(1)
    assert start().learning.active == 1


def test_only_one_training_runs_at_a_time(client, service):
    quiet_past(service, "web-1", n=600)
    answers = [client.post("/api/v1/models/train").status_code for _ in range(5)]
    service.learning.wait(30)
    assert answers[0] == 202
    assert set(answers[1:]) <= {202, 409}
    assert service.learning.job.state == "done"


def test_training_without_history_says_what_is_missing(client):
    answer = client.post("/api/v1/models/train")
    assert (answer.status_code, "history" in answer.json()["detail"]) == (409, True)


def test_the_system_page_counts_what_was_refused(client, service):
    client.post("/ingest", json={"cpu": 140})
    system = client.get("/api/v1/system").json()
    assert system["refused"][0]["reason"] == "cpu is 140, allowed 0..100"
    assert [stage["label"] for stage in system["stages"]] == [
        "Received",
        "Journal",
        "Scored",
        "Stored",
        "Decided",
        "Told",
    ]
    assert system["ok"]


def test_ready_names_what_does_not_work(client, service):
    service.storing.away = Away(now_ms(), "disk full")
    answer = client.get("/-/ready")
    assert answer.status_code == 503
    assert "disk full. 0 samples wait in the journal." in answer.json()["problems"][0]
    assert client.get("/-/healthy").status_code == 200


def test_the_stream_tells_of_samples_and_incidents(service):
    import asyncio

    async def listen():
        subscriber = service.live.subscribe("overview", None, asyncio.get_running_loop())
        quiet_past(service, "web-1", n=1)
        breach(service)
        seen = []
        end = time.monotonic() + 5
        while time.monotonic() < end and len({event.split(b"\n")[0] for event in seen}) < 2:
            seen.append(await asyncio.wait_for(subscriber.queue.get(), 5))
        service.live.unsubscribe(subscriber)
        return seen

    events = asyncio.run(listen())
    assert {event.split(b"\n")[0] for event in events} == {b"event: fleet", b"event: incidents"}
    until(lambda: service.live.streams == 0)


def test_a_past_that_is_brought_in_does_not_overrun_the_pages_of_its_host(service):
    import asyncio

    async def listen():
        subscriber = service.live.subscribe("host", "web-1", asyncio.get_running_loop())
        quiet_past(service, "web-1", n=3_000, until_ms=now_ms() - 3_600_000)
        await asyncio.to_thread(quiet_past, service, "web-1", 1)
        event = await asyncio.wait_for(subscriber.queue.get(), 5)
        service.live.unsubscribe(subscriber)
        return event, subscriber.queue.qsize()

    event, more = asyncio.run(listen())
    assert event is not None
    assert event.startswith(b"event: sample")
    assert more == 0
