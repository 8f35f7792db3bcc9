"""The live stream through the gateway: one subscription at the service, any number of pages."""

import socket
import threading
import time
from contextlib import ExitStack

import pytest
import requests

from monitor_core.service.api import build_api
from monitor_core.service.backend import SILENT_SECONDS, Backend
from monitor_core.service.gateway import Gateway, build_gateway_api
from monitor_core.service.relay import LINGER_SECONDS, MOST_CHANNELS, Channel
from monitor_core.settings import Settings
from tests.conftest import until
from tests.service.servers import Page, served
from tests.service.service_stub import ServiceStub, answer, hang

PING = b'event: ping\ndata: {"now":%d}\n\n'
END = b"\r\n0\r\n\r\n"
FLEET = b'event: fleet\ndata: {"t":1}\n\n'


@pytest.fixture
def stub():
    with ServiceStub() as running:
        yield running


@pytest.fixture
def gateway():
    """Puts a gateway in front of an address; gives it and its own address."""
    with ExitStack() as servers:

        def start(url, silent_seconds=SILENT_SECONDS, **changes):
            settings = Settings(monitor_role="dashboard", backend_url=url, **changes)
            built = Gateway(settings, Backend(url, settings.token(), silent_seconds=silent_seconds))
            return built, servers.enter_context(served(build_gateway_api(built)))

        yield start


@pytest.fixture
def url(gateway, stub):
    return gateway(stub.url)[1]


def streams(stub):
    return [got.target for got in stub.asked if got.target.startswith("/api/stream")]


def test_ten_pages_share_one_stream_of_a_real_service(gateway, service):
    with served(build_api(service)) as backend, ExitStack() as servers:
        settings = Settings(monitor_role="dashboard", backend_url=backend)
        address = servers.enter_context(served(build_gateway_api(Gateway(settings))))
        pages = [Page(address) for _ in range(10)]
        until(lambda: all(page.names == ["hello"] for page in pages))
        requests.post(f"{address}/ingest", json={"host": "web-1", "cpu": 10}, timeout=5)
        until(lambda: all("fleet" in page.names for page in pages))
        assert service.live.streams == 1
        assert {page.events[0][2]["interval_ms"] for page in pages} == {3_000}
        for page in pages:
            page.leave()
        until(lambda: service.live.streams == 0, 10)


def test_each_topic_and_each_host_is_subscribed_once(stub, url):
    queries = ["topic=models", "topic=models", "host=web-1", "topic=overview&host=web-1", "host=web-2"]
    pages = [Page(url, query) for query in queries]
    until(lambda: all(page.names == ["hello"] for page in pages))
    assert sorted(streams(stub)) == [
        "/api/stream?topic=host&host=web-1",
        "/api/stream?topic=host&host=web-2",
        "/api/stream?topic=models",
    ]


def test_pages_that_come_at_the_same_moment_share_one_too(stub, url):
    pages = []
    opening = [threading.Thread(target=lambda: pages.append(Page(url))) for _ in range(10)]
    for thread in opening:
        thread.start()
    until(lambda: len(pages) == 10 and all(page.names == ["hello"] for page in pages))
    assert len(streams(stub)) == 1


def test_a_page_that_comes_later_is_greeted_at_once_with_the_service_s_present_time(stub, url):
    first = Page(url)
    until(lambda: first.names == ["hello"])
    time.sleep(0.3)
    stub.send(PING % (stub.now_ms + 60_000))
    until(lambda: "ping" in first.names)
    time.sleep(0.1)
    began = time.monotonic()
    later = Page(url)
    until(lambda: later.names == ["hello"])
    at, _, hello = later.events[0]
    assert at - began < 0.3
    assert hello["interval_ms"] == 3_000
    assert 60_090 <= hello["now"] - stub.now_ms < 60_400


@pytest.mark.parametrize("query", ["topic=boss", "host=a%20b", "topic=overview&host=../x"])
def test_what_is_not_a_topic_or_a_host_never_reaches_the_service(stub, url, query):
    assert Page(url, query).status == 422
    assert stub.asked == []


def test_every_page_s_stream_ends_at_once_when_the_service_dies_and_comes_back_with_it(stub, url):
    pages = [Page(url) for _ in range(5)]
    until(lambda: all(page.names == ["hello"] for page in pages))
    stub.die()
    died = time.monotonic()
    assert all(page.ended.wait(1) for page in pages)
    assert time.monotonic() - died < 1
    asked = time.monotonic()
    refused = requests.get(f"{url}/api/stream", timeout=5)
    assert (refused.status_code, refused.headers["content-type"]) == (503, "application/problem+json")
    assert refused.json()["detail"] == "The service does not answer."
    assert time.monotonic() - asked < 0.5
    stub.start()
    again = Page(url)
    until(lambda: again.names == ["hello"])


def test_a_service_that_says_nothing_any_more_counts_as_gone(stub, gateway):
    _, url = gateway(stub.url, silent_seconds=0.5)
    page = Page(url)
    until(lambda: page.names == ["hello"])
    assert page.ended.wait(2)
    assert page.events[-1][1] == "hello"


def test_a_service_that_does_not_begin_its_stream_is_a_503(stub, gateway):
    _, url = gateway(stub.url, silent_seconds=0.5)
    stub.then(hang(2))
    began = time.monotonic()
    assert Page(url).status == 503
    assert time.monotonic() - began < 1.5


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (answer(401, b"{}"), "The service does not accept this dashboard's API_TOKEN."),
        (answer(500, b"canary"), "The service has no live stream now."),
        (answer(200, b"<html>canary", Content_Type="text/html"), "The service has no live stream now."),
    ],
)
def test_anything_but_a_stream_is_a_503_with_a_reason(stub, url, act, said):
    stub.then(act)
    refused = requests.get(f"{url}/api/stream", timeout=5)
    assert (refused.status_code, refused.json()["detail"]) == (503, said)


def test_a_stream_that_cannot_be_read_ends_and_breaks_nothing(stub, url):
    page = Page(url)
    until(lambda: page.names == ["hello"])
    stub.send(b"event: ping\ndata: {half\n\n")
    assert page.ended.wait(1)
    assert Page(url).status == 200


def test_events_in_pieces_and_several_in_one_arrive_whole(stub, url):
    page = Page(url)
    until(lambda: page.names == ["hello"])
    stub.send(FLEET + FLEET + FLEET[:9])
    stub.send(FLEET[9:])
    until(lambda: page.names == ["hello", "fleet", "fleet", "fleet"])


def test_a_page_that_comes_back_within_a_moment_finds_the_stream_still_there(stub, gateway):
    built, url = gateway(stub.url)
    page = Page(url)
    until(lambda: page.names == ["hello"])
    stub.beat()
    page.leave()
    time.sleep(0.5)
    assert len(built.relay._channels) == 1
    back = Page(url)
    until(lambda: "ping" in back.names)
    assert len(streams(stub)) == 1
    time.sleep(LINGER_SECONDS)
    assert len(built.relay._channels) == 1
    back.leave()
    until(lambda: not built.relay._channels, 8)


def test_a_page_that_does_not_read_is_let_go_and_the_others_miss_nothing(stub, gateway):
    built, url = gateway(stub.url)
    quick = Page(url)
    until(lambda: quick.names == ["hello"])
    with stuck(url) as slow:
        (channel,) = built.relay._channels.values()
        until(lambda: len(channel.subscribers) == 2)
        big = b'event: fleet\ndata: "%b"\n\n' % (b"x" * 20_000)
        for sent in range(10, 601, 10):
            stub.send(big * 10)
            until(lambda sent=sent: quick.names.count("fleet") == sent)
        stub.beat()
        got = b""
        while not got.endswith(END) and b"event: ping" not in got:
            got += slow.recv(1 << 20)
        assert got.endswith(END)
        assert got.count(b"event: fleet") < 600
        assert len(channel.subscribers) == 1
        assert not quick.ended.is_set()


def stuck(url):
    """An open stream that nobody reads."""
    host, port = url.removeprefix("http://").split(":")
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    connection.settimeout(10)
    connection.connect((host, int(port)))
    connection.sendall(f"GET /api/stream HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
    return connection


def test_streams_are_bounded(stub, gateway):
    built, url = gateway(stub.url)
    built.relay._channels.update(
        {("host", f"web-{i}"): Channel("host", f"web-{i}", None) for i in range(MOST_CHANNELS)}
    )
    assert Page(url).status == 503
    assert stub.asked == []


def test_the_stream_is_guarded_and_carries_the_token_to_the_service_only(stub, gateway):
    _, url = gateway(stub.url, api_token="canary-token-1234")
    assert Page(url).status == 401
    assert stub.asked == []
    cookies = requests.post(f"{url}/api/session", json={"token": "canary-token-1234"}, timeout=5).headers["set-cookie"]
    assert Page(url, Cookie=cookies.split(";")[0]).status == 200
    sent = stub.asked[0].headers
    assert sent["authorization"] == "Bearer canary-token-1234"
    assert "cookie" not in sent


def test_all_pages_are_let_go_when_the_server_ends(stub, gateway):
    built, url = gateway(stub.url)
    page = Page(url)
    until(lambda: page.names == ["hello"])
    (channel,) = built.relay._channels.values()
    channel.loop.call_soon_threadsafe(built.end_streams)
    assert page.ended.wait(1)
