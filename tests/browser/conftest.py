"""The real product in a real browser: `streamlit run app.py` on a free port, Debian's Chromium in front of it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CHROMIUM = Path("/usr/bin/chromium")
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
    """The started product; `stop` ends it, `start` brings it back on the same data."""

    def __init__(self, folder: Path, **environ: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._folder = folder
        self._environ = {
            **os.environ,
            "DATA_DIR": str(folder / "data"),
            "STREAMLIT_SERVER_PORT": str(self.port),
            **environ,
        }
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "streamlit", "run", "app.py"]
        with (self._folder / "log.txt").open("ab") as log:
            self._process = subprocess.Popen(command, cwd=ROOT, env=self._environ, stdout=log, stderr=log)
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


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    running = Product(tmp_path_factory.mktemp("product"), SAMPLE_INTERVAL_SECONDS="1", TRAIN_AT_HOUR="-1")
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
