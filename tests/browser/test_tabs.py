"""Many tabs of one browser window. Playwright shows every page as if it were in front, so Chromium is spoken to here as
its own tools do: a tab behind another is really hidden."""

import json
import subprocess
import time
import urllib.request

import pytest
from websockets.sync.client import connect

from tests.browser.conftest import CHROMIUM, FLAGS
from tests.conftest import until

pytestmark = pytest.mark.browser
MORE_THAN_CONNECTIONS = 8
PILL = "document.querySelector('.sim-pill')?.dataset.state"
POINTS = "Number(document.querySelector('.sim-plot-fleet')?.dataset.points ?? 0)"


class Tabs:
    """The tabs of one window, by Chromium's own protocol; `open` adds one in front."""

    def __init__(self, socket):
        self._socket, self._calls = socket, 0
        self.ids, self._sessions = [], []

    def open(self, url):
        self.ids.append(self._call("Target.createTarget", url=url)["targetId"])
        attached = self._call("Target.attachToTarget", targetId=self.ids[-1], flatten=True)
        self._sessions.append(attached["sessionId"])
        return len(self.ids) - 1

    def show(self, tab):
        self._call("Target.activateTarget", targetId=self.ids[tab])

    def says(self, tab, script):
        return self._call("Runtime.evaluate", self._sessions[tab], expression=script)["result"].get("value")

    def _call(self, method, session=None, **params):
        self._calls += 1
        message = {"id": self._calls, "method": method, "params": params} | ({"sessionId": session} if session else {})
        self._socket.send(json.dumps(message))
        while (answer := json.loads(self._socket.recv(timeout=30))).get("id") != self._calls:
            pass
        assert "error" not in answer, answer
        return answer["result"]


@pytest.fixture
def tabs(tmp_path):
    if not CHROMIUM.exists():
        pytest.skip("there is no Chromium at /usr/bin/chromium (apt-get install chromium)")
    command = [str(CHROMIUM), "--headless=new", "--remote-debugging-port=0", f"--user-data-dir={tmp_path}", *FLAGS]
    process = subprocess.Popen([*command, "about:blank"], stderr=subprocess.DEVNULL)
    where = tmp_path / "DevToolsActivePort"
    try:
        until(lambda: where.exists() and "/" in where.read_text())
        port, path = where.read_text().split("\n")[:2]
        with connect(f"ws://127.0.0.1:{port}{path}", max_size=None) as socket:
            yield Tabs(socket)
    finally:
        process.terminate()
        process.wait(20)


def streams(product):
    return json.load(urllib.request.urlopen(f"{product.url}/api/v1/system"))["streams"]


def test_more_tabs_than_a_browser_has_connections_are_all_live_when_looked_at(tabs, product):
    until(lambda: streams(product) == 0)
    for _ in range(MORE_THAN_CONNECTIONS):
        tab = tabs.open(product.url)
        until(lambda tab=tab: tabs.says(tab, PILL) == "live", 60)
    until(lambda: streams(product) == 1)
    assert tabs.says(0, "document.visibilityState") == "hidden"
    tabs.show(0)
    until(lambda: tabs.says(0, PILL) == "live")
    seen = tabs.says(0, POINTS)
    until(lambda: tabs.says(0, POINTS) > seen)
    until(lambda: streams(product) == 1)


def test_a_tab_that_was_hidden_shows_what_it_has_missed(tabs, product):
    name = f"missed-{time.time_ns()}"
    first = tabs.open(f"{product.url}/host?host={name}")
    until(lambda: tabs.says(first, PILL) == "live", 60)
    tabs.open("about:blank")
    until(lambda: streams(product) == 0)
    body = json.dumps({"host": name, "cpu": 97, "memory": 40, "disk": 50}).encode()
    urllib.request.urlopen(urllib.request.Request(f"{product.url}/ingest", body, {"Content-Type": "application/json"}))
    until(lambda: name in urllib.request.urlopen(f"{product.url}/api/v1/incidents").read().decode())
    tabs.show(first)
    until(lambda: "over its limit" in tabs.says(first, "document.querySelector('.sim-side')?.textContent"))
