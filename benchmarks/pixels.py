"""Sample → pixel on the overview in headless Chromium: the age of a sample when the frame with it has been drawn.

`python -m benchmarks.pixels [seconds]` starts the product on a free port with samples every second. It also counts how
often the chart's node was replaced, and the server's CPU with one page open and with six more streams.
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

import numpy as np
import psutil
from playwright.sync_api import sync_playwright

from tests.browser.conftest import FLAGS, Product

QUIET = 0.12

WATCH = """
() => {
  window.ages = [];
  const plot = document.querySelector('.sim-plot-fleet');
  window.firstChart = plot.querySelector('.main-svg');
  new MutationObserver(() => requestAnimationFrame(() => requestAnimationFrame(() =>
    window.ages.push(Date.now() - Number(document.querySelector('.sim-root').dataset.lastSample)))))
    .observe(plot, { attributes: true, attributeFilter: ['data-points'] });
}
"""


def listen(url: str) -> None:
    with urllib.request.urlopen(f"{url}/api/stream?topic=overview") as stream:
        for _ in stream:
            pass


def cpu_share(process: psutil.Process, seconds: float) -> float:
    """CPU seconds per second."""
    before = sum(process.cpu_times()[:2])
    time.sleep(seconds)
    return (sum(process.cpu_times()[:2]) - before) / seconds


def settle(process: psutil.Process) -> None:
    """Until the simulated past has been brought in, which takes longer on a busy machine."""
    end = time.monotonic() + 300
    time.sleep(20)
    while cpu_share(process, 5) > QUIET and time.monotonic() < end:
        pass


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        product = Product(Path(folder), SAMPLE_INTERVAL_SECONDS="1", TRAIN_AT_HOUR="-1")
        process = psutil.Process(product.pid)
        settle(process)
        idle = cpu_share(process, 15)
        for _ in range(20):
            threading.Thread(target=listen, args=(product.url,), daemon=True).start()
        streams = cpu_share(process, 15)
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        page = browser.new_page(viewport={"width": 1440, "height": 1000})
        page.goto(product.url)
        page.wait_for_selector(".sim-plot-fleet[data-points]", timeout=60_000)
        page.evaluate(WATCH)
        page.wait_for_timeout(seconds * 1000)
        ages = np.array(page.evaluate("window.ages"))
        kept = page.evaluate("window.firstChart === document.querySelector('.sim-plot-fleet .main-svg')")
        browser.close()
        product.stop()
    p50, p95 = np.quantile(ages, [0.5, 0.95])
    print(f"sample → pixel: p50 {p50:.0f} ms, p95 {p95:.0f} ms over {len(ages)} refreshes in {seconds:.0f} s")
    print(f"chart node {'kept' if kept else 'REPLACED'}")
    print(f"server CPU: {idle * 100:.1f} % of a core idle, {streams * 100:.1f} % with 20 streams, "
          f"{(streams - idle) / 20 * 1000:.2f} ms per page and refresh")  # fmt: skip


if __name__ == "__main__":
    main()
