import pytest
import requests

from monitor_core.service.api import build_api
from monitor_core.service.backend import Backend
from monitor_core.service.gateway import Gateway, build_gateway_api
from monitor_core.settings import Settings
from tests.conftest import client_of
from tests.service.servers import served
from tests.service.test_original_api import quiet_past
from tests.service.test_v1_api import breach


@pytest.fixture
def incident(service):
    quiet_past(service, "web-1")
    return breach(service)


def address(incident):
    return f"/api/v1/incidents/{incident.id}/label"


def test_a_label_is_set_replaced_and_taken_back(client, incident):
    answer = client.put(address(incident), json={"label": "never", "note": "a nightly job"}).json()
    assert (answer["label"], answer["labelled"]["note"]) == ("never", "a nightly job")
    assert answer["labelled"]["culprits"] == [{"metric": "cpu", "direction": "high"}]
    assert client.put(address(incident), json={"label": "real"}).json()["labelled"]["note"] is None
    listed = client.get("/api/v1/labels").json()
    assert [(record["incident"], record["label"]) for record in listed["labels"]] == [(incident.id, "real")]
    assert listed["counts"] == {"real": 1, "expected": 0, "new_normal": 0, "never": 0}
    for _ in range(2):
        assert client.delete(address(incident)).json() == {"incident": incident.id, "label": None, "labelled": None}
    assert client.get("/api/v1/labels").json()["labels"] == []
    timeline = client.get(f"/api/v1/incidents/{incident.id}").json()["timeline"]
    assert [line["what"] for line in timeline if "label" in line["what"]] == [
        "label: never",
        "label: real",
        "label taken back",
    ]


def test_an_incident_says_its_label_wherever_it_is_shown(client, service, incident):
    assert client.get(f"/api/v1/incidents/{incident.id}").json()["labelled"] is None
    client.put(address(incident), json={"label": "expected"})
    shown = client.get(f"/api/v1/incidents/{incident.id}").json()
    assert (shown["label"], "told to nobody" in shown["labelled"]["effect"]) == ("expected", True)
    assert client.get("/api/v1/incidents").json()["incidents"][0]["label"] == "expected"
    assert client.get("/api/state").json()["incidents"][0]["label"] == "expected"
    assert client.get("/api/v1/incidents.csv").text.splitlines()[1].endswith(",expected")


def test_incidents_are_filtered_by_label(client, incident):
    def numbers(word):
        return [found["id"] for found in client.get(f"/api/v1/incidents?label={word}").json()["incidents"]]

    assert (numbers("none"), numbers("real")) == ([incident.id], [])
    client.put(address(incident), json={"label": "real"})
    assert (numbers("none"), numbers("real")) == ([], [incident.id])


def test_labels_are_listed_by_host(client, incident):
    client.put(address(incident), json={"label": "real"})
    assert len(client.get("/api/v1/labels?host=web-1").json()["labels"]) == 1
    assert client.get("/api/v1/labels?host=web-2").json()["labels"] == []


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"label": "wrong"},
        {"label": None},
        {"label": ["real"]},
        {"label": "real", "note": 7},
        {"label": "real", "note": "x" * 2_001},
        [],
    ],
)
def test_what_is_no_label_is_422(client, incident, body):
    answer = client.put(address(incident), json=body)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert client.get("/api/v1/labels").json()["labels"] == []


def test_unknown_words_in_the_questions_are_422(client):
    assert client.get("/api/v1/incidents?label=wrong").status_code == 422
    assert client.get("/api/v1/labels?host=a%20b").status_code == 422


@pytest.mark.parametrize("number", ["99", "99999999999999999999", "-1"])
def test_an_incident_that_does_not_exist_is_404(client, number):
    for answer in (
        client.put(f"/api/v1/incidents/{number}/label", json={"label": "real"}),
        client.delete(f"/api/v1/incidents/{number}/label"),
    ):
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


def test_another_site_or_a_caller_without_the_token_sets_no_label(start):
    service = start(api_token="canary-token-1234")
    incident = breach(service)
    client, known = client_of(service), {"Authorization": "Bearer canary-token-1234"}
    elsewhere = known | {"Origin": "https://elsewhere.example"}
    for ask in (
        lambda headers: client.put(address(incident), json={"label": "real"}, headers=headers),
        lambda headers: client.delete(address(incident), headers=headers),
    ):
        assert [ask(headers).status_code for headers in ({}, elsewhere, known)] == [401, 403, 200]


def test_a_label_is_set_through_the_pages_server(service, incident, tmp_path):
    with served(build_api(service)) as url:
        settings = Settings(monitor_role="dashboard", backend_url=url, data_dir=tmp_path / "none")
        gateway = build_gateway_api(Gateway(settings, Backend(url, None)))
        with served(gateway) as pages:
            answer = requests.put(pages + address(incident), json={"label": "real"}, timeout=10)
            assert answer.json()["label"] == "real"
            assert requests.get(f"{pages}/api/v1/labels", timeout=10).json()["counts"]["real"] == 1
            assert requests.delete(pages + address(incident), timeout=10).json()["label"] is None


def test_a_label_on_an_incident_that_is_over_leaves_the_open_one_alone(client, service, incident):
    client.post("/api/v1/hosts/web-1/forget")
    again = breach(service)
    client.put(address(incident), json={"label": "real"})
    assert client.get("/api/state").json()["incidents"][0]["id"] == again.id
