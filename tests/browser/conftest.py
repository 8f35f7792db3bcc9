"""The real product in a real browser: its programs on free ports, Debian's Chromium in front of them."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.external import own_environ

ROOT = Path(__file__).parents[2]
CHROMIUM = Path("/usr/bin/chromium")
PAGES = ("streamlit", "run", "app.py")
SERVICE = ("monitor_core", "--port", "{port}")
WAIT_MS = 30_000
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class Product:
    """The started product, or a part of it; `stop` ends it, `start` brings it back on the same data."""

    def __init__(self, folder: Path, module: Sequence[str] = PAGES, **environ: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self._command = [sys.executable, "-m", *(part.format(port=self.port) for part in module)]
        self._environ = {
            **own_environ(),
            "DATA_DIR": str(folder / "data"),
            "STREAMLIT_SERVER_PORT": str(self.port),
            **environ,
        }
        self.start()

    def start(self) -> None:
        with (self._folder / "log.txt").open("ab") as log:
            self._process = subprocess.Popen(self._command, cwd=ROOT, env=self._environ, stdout=log, stderr=log)
        end = time.monotonic() + 60
        while not self._is_up():
            assert self._process.poll() is None, (self._folder / "log.txt").read_text()
            assert time.monotonic() < end, "the product did not start"
            time.sleep(0.2)

    @property
    def pid(self) -> int:
        return self._process.pid

    def _is_up(self) -> bool:
        try:
            return urllib.request.urlopen(f"{self.url}/-/healthy", timeout=2).status == 200
        except (urllib.error.URLError, OSError):
            return False

    def stop(self, how: int = signal.SIGTERM) -> None:
        self._process.send_signal(how)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


# one for all modules that have none of their own: a day of six hosts is brought in only once
@pytest.fixture(scope="session")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    tonight = str((time.gmtime().tm_hour + 12) % 24)  # not while a test looks
    running = Product(tmp_path_factory.mktemp("product"), SAMPLE_INTERVAL_SECONDS="1", TRAIN_AT_HOUR=tonight)
    yield running
    running.stop()


# as long as one module: Playwright leaves an event loop running in this thread
@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    if not CHROMIUM.exists():
        pytest.skip("there is no Chromium at /usr/bin/chromium (apt-get install chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1440, "height": 1000})
    opened = context.new_page()
    opened.set_default_timeout(WAIT_MS)
    opened.faults = []
    opened.on("pageerror", lambda error: opened.faults.append(str(error)))
    yield opened
    context.close()
    assert opened.faults == []


def points(page: Any) -> int:
    """How many samples the overview's chart shows."""
    return int(page.get_attribute(".sim-plot-fleet", "data-points") or 0)


def drag_over(page: Any, first: float, last: float) -> None:
    """Zoom by the mouse into a part, from `first` to `last` of its width, of a host's first chart."""
    box = page.locator(".sim-plot-metric .nsewdrag").first.bounding_box()
    page.mouse.move(box["x"] + box["width"] * first, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * last, box["y"] + 40, steps=5)
    page.mouse.up()
