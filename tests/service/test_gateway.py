"""The dashboard's server in front of a service: forwarding, faults on the way, who may ask. Streams: test_relay.py."""

import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from monitor_core.service.api import build_api
from monitor_core.service.backend import MOST_AT_ONCE, Backend
from monitor_core.service.gateway import Gateway, build_gateway_api
from monitor_core.settings import Settings
from tests.service.servers import served
from tests.service.service_stub import ServiceStub, answer, hang, hang_up

TOKEN = "canary-token-1234"
READ_SECONDS = 0.4
ADDRESS_PARTS = ("127.0.0.1", "localhost", "canary")


@pytest.fixture
def stub():
    with ServiceStub() as running:
        yield running


@pytest.fixture
def before(tmp_path):
    """Starts a gateway in front of an address; gives a way to ask it."""
    servers = []

    def start(url, **changes):
        settings = Settings(monitor_role="dashboard", backend_url=url, data_dir=tmp_path / "none", **changes)
        backend = Backend(url, settings.token(), read_seconds=READ_SECONDS, silent_seconds=READ_SECONDS)
        servers.append(served(build_gateway_api(Gateway(settings, backend))))
        address = servers[-1].__enter__()
        return lambda method, path, **more: requests.request(
            method, address + path, timeout=10, allow_redirects=False, **more
        )

    yield start
    for server in servers:
        server.__exit__(None, None, None)


@pytest.fixture
def ask(before, stub):
    return before(stub.url)


@pytest.fixture
def guarded(before, stub):
    return before(stub.url, api_token=TOKEN)


def is_problem(got, status):
    return (got.status_code, got.headers["content-type"]) == (status, "application/problem+json") and not any(
        part in got.text for part in ADDRESS_PARTS
    )


def test_a_real_service_is_reached_through_it(before, service):
    with served(build_api(service)) as url:
        ask = before(url)
        assert ask("POST", "/ingest", json={"host": "web-1", "cpu": 10}).json()["accepted"] == 1
        assert ask("GET", "/-/ready").json() == {"ready": True, "problems": []}
        assert ask("GET", "/ping").status_code == 204
        assert ask("GET", "/api/v1/series?host=a%20b").json()["status"] == 422
        assert ask("GET", "/api/v1/incidents.csv").headers["content-disposition"].startswith("attachment")
        assert ask("GET", "/docs/ui/swagger-ui.css").headers["content-type"].startswith("text/css")
        assert ask("GET", "/openapi.json").json()["info"]["title"] == "Smart Infra Monitor"


def test_method_path_query_and_body_arrive_as_they_were_sent(ask, stub):
    ask("POST", "/api/v1/hosts/caf%C3%A9%3A1/forget?a=1%262&b=%20", data=b"\x00raw", headers={"Content-Type": "x/y"})
    got = stub.asked[0]
    assert (got.method, got.target, got.body) == (
        "POST",
        "/api/v1/hosts/caf%C3%A9%3A1/forget?a=1%262&b=%20",
        b"\x00raw",
    )
    assert got.headers["content-type"] == "x/y"


def test_status_body_and_the_headers_that_matter_come_back(ask, stub):
    stub.then(answer(429, b"a,b", Content_Type="text/csv", Retry_After="7", ETag='"e"', Set_Cookie="a=b", Server="x"))
    got = ask("GET", "/api/v1/incidents.csv")
    assert (got.status_code, got.content) == (429, b"a,b")
    assert (got.headers["content-type"], got.headers["retry-after"], got.headers["etag"]) == ("text/csv", "7", '"e"')
    assert "set-cookie" not in got.headers
    assert got.headers.get("server") != "x"


def test_a_known_version_is_asked_for_again_by_its_etag(ask, stub):
    stub.then(answer(304, ETag='"e"'))
    assert ask("GET", "/docs/ui/swagger-ui.css", headers={"If-None-Match": '"e"'}).status_code == 304
    assert stub.asked[0].headers["if-none-match"] == '"e"'


def test_a_redirect_is_handed_on_without_the_address_of_the_service(ask, stub):
    stub.then(answer(307, Location=f"{stub.url}/api/v1/hosts"))
    got = ask("GET", "/api/v1/hosts/")
    assert (got.status_code, got.headers["location"]) == (307, "/api/v1/hosts")
    assert len(stub.asked) == 1


def test_the_pages_own_files_and_its_health_need_no_service(ask, stub):
    stub.die()
    assert ask("GET", "/assets/main.js").status_code == 200
    assert ask("GET", "/-/healthy").text == "ok"
    assert stub.asked == []


def test_a_service_that_is_not_there_is_a_502(ask, stub):
    stub.die()
    got = ask("GET", "/api/state?canary")
    assert is_problem(got, 502)
    assert got.json()["detail"] == "The service does not answer."
    assert is_problem(ask("POST", "/ingest", data="canary"), 502)


def test_readiness_says_that_the_service_is_not_there(ask, stub):
    stub.die()
    got = ask("GET", "/-/ready")
    assert (got.status_code, got.json()) == (503, {"ready": False, "problems": ["The service does not answer."]})


def test_readiness_hands_on_what_is_wrong_with_the_service(ask, stub):
    stub.then(answer(503, b'{"ready":false,"problems":["x"]}'))
    got = ask("GET", "/-/ready")
    assert (got.status_code, got.json()["problems"]) == (503, ["x"])


def test_a_service_that_takes_too_long_is_a_504_and_is_asked_once(ask, stub):
    stub.then(hang(1.5))
    assert is_problem(ask("GET", "/api/state"), 504)
    assert len(stub.asked) == 1


def test_a_connection_that_ended_is_tried_again_for_reading_only(ask, stub):
    stub.then(hang_up)
    assert ask("GET", "/api/state").status_code == 200
    stub.then(hang_up)
    assert is_problem(ask("POST", "/api/v1/models/train"), 502)
    assert [got.method for got in stub.asked] == ["GET", "GET", "POST"]


def test_requests_do_not_gather_without_end(stub):
    backend = Backend(stub.url, None)
    backend._at_once = MOST_AT_ONCE
    with pytest.raises(Exception, match="Too many requests"):
        backend.ask("GET", "/api/state").send(None)


def test_no_proxy_of_the_environment_is_used(ask, stub, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "")
    assert ask("GET", "/api/state", proxies={"http": ""}).status_code in (200, 502)
    assert len(stub.asked) == 1


def test_the_token_is_added_and_nothing_of_the_browser_goes_further(guarded, stub):
    session = guarded("POST", "/api/session", json={"token": TOKEN})
    assert session.status_code == 204
    assert {"HttpOnly", "SameSite=strict"} <= set(session.headers["set-cookie"].split("; "))
    assert guarded("GET", "/api/state", cookies=session.cookies).status_code == 200
    sent = stub.asked[0].headers
    assert sent["authorization"] == f"Bearer {TOKEN}"
    assert not {"cookie", "origin", "referer", "x-forwarded-for"} & sent.keys()


def test_a_browser_s_own_authorization_is_checked_here_and_stays_here(guarded, before, stub):
    assert guarded("GET", "/api/state", headers={"Authorization": f"Token {TOKEN}"}).status_code == 200
    assert stub.asked[0].headers["authorization"] == f"Bearer {TOKEN}"
    before(stub.url)("GET", "/api/state", headers={"Authorization": "Bearer x", "Cookie": "monitor_session=x"})
    assert not {"authorization", "cookie"} & stub.asked[1].headers.keys()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/state"),
        ("GET", "/api/stream"),
        ("GET", "/docs"),
        ("POST", "/ingest"),
        ("HEAD", "/api/state"),
        ("POST", "/api/v1/models/train"),
    ],
)
def test_without_the_token_nothing_reaches_the_service(guarded, stub, method, path):
    got = guarded(method, path)
    assert (got.status_code, got.headers["www-authenticate"]) == (401, "Bearer")
    assert stub.asked == []


def by_hand(ask, path):
    """The status of a POST; clients would tidy such paths up."""
    host, port = ask("GET", "/-/healthy").url.split("/")[2].split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 2\r\n\r\n{{}}".encode())
        return int(connection.recv(100).split()[1])


@pytest.mark.parametrize("path", ["/assets/../ingest", "/assets/%2e%2e/ingest", "/assets/..%2fingest", "/assets/x"])
def test_the_open_paths_are_no_way_around_the_token(guarded, stub, path):
    assert by_hand(guarded, path) == 404
    assert stub.asked == []


@pytest.mark.parametrize("path", ["/api/../ingest", "/api/%2e%2e/ingest", "/api/v1/./hosts", "/-/..%2fapi/state"])
def test_no_path_climbs_to_another(ask, stub, path):
    assert by_hand(ask, path) == 404
    assert stub.asked == []


def test_another_token_at_the_service_is_the_operator_s_fault_and_no_question_to_the_browser(ask, stub):
    stub.then(answer(401, b"{}", WWW_Authenticate="Bearer"))
    got = ask("GET", "/api/state")
    assert is_problem(got, 502)
    assert "API_TOKEN" in got.json()["detail"]


def test_a_body_that_is_too_large_stops_here(before, stub):
    ask = before(stub.url, max_body_bytes=2_000)
    assert is_problem(ask("POST", "/ingest", data=b" " * 2_001), 413)
    assert is_problem(ask("POST", "/ingest", data=(b" " * 500 for _ in range(5))), 413)
    assert stub.asked == []


def test_another_site_may_not_post_and_the_page_itself_may(ask, stub):
    assert ask("POST", "/ingest", data="{}", headers={"Origin": "https://evil.example"}).status_code == 403
    own = ask("GET", "/-/healthy").url.removesuffix("/-/healthy")
    assert ask("POST", "/ingest", data="{}", headers={"Origin": own}).status_code == 200
    assert "origin" not in stub.asked[0].headers


def test_many_requests_are_under_way_at_once(ask, stub):
    stub.then(*[hang(0.2)] * 8)
    began = time.monotonic()
    with ThreadPoolExecutor(8) as pages:
        list(pages.map(lambda _: ask("GET", "/api/state"), range(8)))
    assert time.monotonic() - began < 8 * 0.2


def test_nothing_is_on_disk(ask, tmp_path):
    ask("GET", "/api/state")
    assert list(tmp_path.iterdir()) == []
