"""Clients that send a byte now and then: none of them holds a connection for long, nobody else feels them."""

import logging
import socket
import time
import urllib.request

import orjson
import pytest
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from monitor_core.service.api import build_api
from monitor_core.service.deadline import InTime, set_deadline
from tests.browser.conftest import PAGES, SERVICE, Product
from tests.service.servers import Page, served

SECONDS = 0.6
HEAD = b"POST %b HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n"


class Soon(InTime):
    seconds = SECONDS


@pytest.fixture
def address(service):
    with served(build_api(service), http=Soon) as url:
        yield url


def connect(url):
    host, _, port = url.removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)), timeout=10)


def drip(connection, byte, most=10.0):
    """Send a byte now and then until the server ends it; what it said meanwhile, and after how long it ended."""
    connection.settimeout(0.05)
    said, began = b"", time.monotonic()
    while (passed := time.monotonic() - began) < most:
        try:
            connection.sendall(byte)
            part = connection.recv(10_000)
        except TimeoutError:
            continue
        except OSError:
            return said, passed
        if not part:
            return said, passed
        said += part
    return said, None


def ask(connection, path=b"/ping"):
    connection.sendall(b"GET %b HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" % path)
    return connection.recv(10_000)


@pytest.mark.parametrize("path", [b"/ingest", b"/predict", b"/api/session", b"/api/v1/models/excluded"])
def test_a_body_that_drips_is_told_so_and_cut(address, path, caplog):
    with connect(address) as slow:
        slow.sendall(HEAD % path)
        said, after = drip(slow, b" ")
    head, _, body = said.partition(b"\r\n\r\n")
    assert after is not None
    assert head.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert b"connection: close" in head
    assert orjson.loads(body)["detail"] == "The request did not arrive within 0.6 seconds."
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("first", [b"", b"GET /ping HTTP/1.1\r\nX-Long: "])
def test_a_head_that_never_ends_is_cut(address, first):
    with connect(address) as slow:
        slow.sendall(first)
        assert drip(slow, b"x" if first else b"\r\n") == (b"", pytest.approx(SECONDS, abs=2))


def test_a_connection_on_which_nothing_is_asked_is_cut(address):
    with connect(address) as idle:
        assert idle.recv(100) == b""


def test_a_body_that_drips_on_after_its_answer_is_cut(start):
    with served(build_api(start(api_token="a-token-of-ours")), http=Soon) as url, connect(url) as slow:
        slow.sendall(HEAD % b"/ingest")
        said, after = drip(slow, b" ")
    assert said.startswith(b"HTTP/1.1 401 ")
    assert said.count(b"HTTP/1.1") == 1
    assert after is not None


def test_empty_lines_between_requests_keep_no_connection(address):
    with connect(address) as slow:
        assert ask(slow).startswith(b"HTTP/1.1 204")
        assert drip(slow, b"\r\n")[1] is not None


def test_a_slow_request_behind_another_is_cut_too(address):
    with connect(address) as slow:
        slow.sendall(b"GET /ping HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" + HEAD % b"/ingest")
        said, after = drip(slow, b" ")
    assert said.startswith(b"HTTP/1.1 204")
    assert b"HTTP/1.1 408" in said
    assert after is not None


def test_requests_that_come_whole_may_share_a_connection_for_as_long_as_they_like(address):
    with connect(address) as connection:
        for _ in range(6):
            assert ask(connection).startswith(b"HTTP/1.1 204")
            time.sleep(SECONDS / 3)


def test_a_stream_goes_on(address):
    page = Page(address)
    time.sleep(3 * SECONDS)
    assert not page.ended.is_set()
    page.leave()


def test_a_server_that_somebody_else_made_gets_it_before_it_listens(service):
    config = uvicorn.Config(build_api(service))
    config.load()
    assert set_deadline(7) >= 1
    assert issubclass(config.http_protocol_class, InTime)
    assert (config.http_protocol_class.seconds, InTime.seconds) == (7, 30)
    assert HttpToolsProtocol in config.http_protocol_class.__mro__


@pytest.mark.parametrize(("program", "path"), [(SERVICE, b"/ingest"), (PAGES, b"/ingest"), (PAGES, b"/_stcore/health")])
def test_both_servers_have_it(tmp_path, program, path):
    quiet = {"SIMULATED_HOSTS": "0", "COLLECT_THIS_HOST": "false", "TRAIN_AT_HOUR": "-1"}
    product = Product(tmp_path, program, REQUEST_SECONDS="1", **quiet)
    try:
        with connect(product.url) as slow:
            slow.sendall(HEAD % path)
            assert urllib.request.urlopen(f"{product.url}/-/healthy", timeout=5).status == 200
            assert drip(slow, b" ")[1] is not None
    finally:
        product.stop()
