"""The three processes: a service, its pages elsewhere, a simulator that posts; the browser sees the pages only."""

import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest

from tests.browser.conftest import ROOT, SERVICE, Product, points
from tests.external import own_environ

pytestmark = pytest.mark.browser
TOKEN = "canary-token-1234"
GONE_SECONDS = 2.5
BACK_SECONDS = 4.0
LIVE = ".sim-pill[data-state='live']"


class Split:
    """The three, started one after the other; `pages_folder` is where the pages' process would keep something."""

    def __init__(self, folder, **environ):
        quiet = {"COLLECT_THIS_HOST": "false", "SAMPLE_INTERVAL_SECONDS": "1", "TRAIN_AT_HOUR": "-1"}
        self.pages_folder = folder / "pages"
        self.service = Product(folder / "service", SERVICE, **quiet, **environ)
        environ |= {"BACKEND_URL": self.service.url}
        self.pages = Product(self.pages_folder, MONITOR_ROLE="dashboard", **environ)
        command = [sys.executable, "-m", "simulator", "--profile", "fleet", "--hosts", "6", "--interval", "1"]
        with (folder / "simulator.txt").open("ab") as log:
            self._simulator = subprocess.Popen(command, cwd=ROOT, env=own_environ() | environ, stdout=log, stderr=log)

    def stop(self):
        self._simulator.terminate()
        self._simulator.wait(20)
        self.pages.stop()
        self.service.stop()


@contextmanager
def running(folder, **environ):
    split = Split(folder, **environ)
    try:
        yield split
    finally:
        split.stop()


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    with running(tmp_path_factory.mktemp("split")) as three:
        yield three


def test_live_points_arrive_and_the_browser_knows_one_origin(page, split):
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("websocket", lambda opened: asked.append(opened.url))
    page.goto(split.pages.url)
    page.wait_for_selector(".sim-plot-fleet[data-points]")
    before = points(page)
    page.wait_for_function(f"Number(document.querySelector('.sim-plot-fleet').dataset.points) >= {before + 3}")
    assert {urlsplit(url).netloc for url in asked if not url.startswith(("data:", "blob:"))} == {
        urlsplit(split.pages.url).netloc
    }
    assert any("/api/stream" in url for url in asked)


@pytest.mark.parametrize("path", ["/host?host=web-1", "/incidents", "/models", "/system_health"])
def test_every_page_is_live(page, split, path):
    page.goto(split.pages.url + path)
    page.wait_for_selector(LIVE)


def test_the_page_says_when_the_service_is_killed_and_when_it_is_back(page, split):
    page.goto(split.pages.url)
    page.wait_for_selector(LIVE)
    page.wait_for_selector(".sim-plot-fleet[data-points]")
    killed = time.monotonic()
    split.service.stop(signal.SIGKILL)
    page.wait_for_selector(".sim-pill[data-state='gone']", timeout=GONE_SECONDS * 1000)
    gone = time.monotonic() - killed
    assert page.locator("h1:has-text('No news for')").is_visible()
    split.service.start()
    started = time.monotonic()
    page.wait_for_selector(LIVE, timeout=BACK_SECONDS * 1000)
    print(f"\nservice killed → page says gone: {gone:.2f} s; back → live: {time.monotonic() - started:.2f} s")
    before = points(page)
    page.wait_for_function(f"Number(document.querySelector('.sim-plot-fleet').dataset.points) >= {before + 2}")


def test_a_page_that_is_opened_while_the_service_is_away_waits_for_it(page, split):
    split.service.stop()
    page.goto(split.pages.url)
    page.wait_for_selector("h1:has-text('The service does not answer')")
    split.service.start()
    page.wait_for_selector(LIVE)


def test_the_pages_process_keeps_nothing_and_stops_at_once_with_pages_open(page, split):
    page.goto(split.pages.url)
    page.wait_for_selector(LIVE)
    began = time.monotonic()
    split.pages.stop()
    assert time.monotonic() - began < 5
    assert [path.name for path in split.pages_folder.iterdir()] == ["log.txt"]
    split.pages.start()
    page.wait_for_selector(LIVE)


def test_with_a_token_the_browser_logs_in_once(page, tmp_path):
    with running(tmp_path, API_TOKEN=TOKEN) as split:
        page.goto(split.pages.url)
        page.fill("input[name='token']", "not-the-token")
        page.keyboard.press("Enter")
        page.wait_for_selector("[role='alert']:has-text('That is not the token.')")
        assert page.get_attribute("input[name='token']", "aria-invalid") == "true"
        page.fill("input[name='token']", TOKEN)
        page.click("text=Open")
        page.wait_for_selector(LIVE)
        page.wait_for_selector(".sim-plot-fleet[data-points]")
        before = points(page)
        page.wait_for_function(f"Number(document.querySelector('.sim-plot-fleet').dataset.points) >= {before + 2}")
        page.goto(f"{split.pages.url}/incidents")
        page.wait_for_selector(LIVE)
        assert page.locator("input[name='token']").count() == 0
        (cookie,) = [cookie for cookie in page.context.cookies() if cookie["name"] == "monitor_session"]
        assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
        assert TOKEN not in cookie["value"]
