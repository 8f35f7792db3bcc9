"""What the address and the browser's Back bring back, and bands that stay whole where samples are missing."""

import time

import numpy as np
import pytest
import requests

from tests.browser.conftest import Product, drag_over

pytestmark = pytest.mark.browser
STEP_MS = 3_000
HOLE = slice(300, 340)
# of the expected band's edges: how many points in the middle of it the drawn area covers, of how many; and the hole's
COVERED = """
() => {
  const plot = document.querySelector('.sim-plot-metric');
  const { xaxis, yaxis } = plot._fullLayout;
  const areas = [...plot.querySelectorAll('.fills .js-fill')];
  const inside = (x, y) => areas.some((area) => area.isPointInFill(new DOMPoint(xaxis.d2p(x), yaxis.d2p(y))));
  const [low, high] = plot.data;
  const points = [...low.x].map((x, i) => [x, low.y[i], high.y[i]]);
  const known = points.filter(([x, a, b], i) => b > a && i && i < points.length - 1);
  const gap = points.findIndex(([x], i) => i && x - points[i - 1][0] > 60_000);
  return {
    known: known.length,
    covered: known.filter(([x, a, b]) => inside(x, (a + b) / 2)).length,
    hole: gap > 0 && inside((points[gap - 1][0] + points[gap][0]) / 2, (points[gap - 2][1] + points[gap - 2][2]) / 2),
  };
}
"""


def post(product, **columns):
    requests.post(f"{product.url}/ingest", json=columns, timeout=10).raise_for_status()


@pytest.fixture(scope="module")
def product(tmp_path_factory):
    """Two hosts; one of them sent nothing for two minutes."""
    running = Product(
        tmp_path_factory.mktemp("history"), SIMULATED_HOSTS="0", COLLECT_THIS_HOST="false", TRAIN_AT_HOUR="-1"
    )
    random = np.random.default_rng(0)
    for host in ("web-1", "web-2"):
        there = np.ones(500, dtype=bool)
        there[HOLE] = host == "web-2"
        times = (time.time_ns() // 1_000_000 + (np.arange(500) - 500) * STEP_MS)[there]
        cpu = np.round(30 + random.normal(0, 1, there.sum()), 1)
        post(product=running, host=[host] * len(times), timestamp=times.tolist(), cpu=cpu.tolist())
    yield running
    running.stop()


def shown(page):
    """The heading, the chosen range and the address."""
    heading = page.inner_text(".sim-root h1")
    return heading, page.get_attribute(".sim-controls [aria-pressed='true']", "data-key"), page.url


def wait_for(page, heading):
    page.wait_for_selector(f"h1:has-text('{heading}')")


def test_back_brings_the_overview_with_its_range_and_the_host_with_its_own(page, product):
    page.goto(product.url)
    page.click("[data-key='6h']")
    page.click(".sim-tile >> nth=1")
    page.wait_for_selector("h2:has-text('Memory, all hosts')")
    overview = shown(page)
    assert overview[2] == f"{product.url}/?range=6h&metric=memory"
    page.click(".sim-cell:has-text('web-1')")
    wait_for(page, "Hosts / web-1")
    page.click("[data-key='24h']")
    host = shown(page)
    page.go_back()
    wait_for(page, overview[0])
    page.wait_for_selector("h2:has-text('Memory, all hosts')")
    assert shown(page) == overview
    page.go_forward()
    wait_for(page, "Hosts / web-1")
    assert shown(page) == host


def test_from_a_host_to_the_table_to_another_host_and_back(page, product):
    page.goto(f"{product.url}/host?host=web-1&range=6h")
    page.click("h1 a:text-is('Hosts')")
    wait_for(page, "2 hosts")
    page.click("tbody tr:has-text('web-2')")
    wait_for(page, "Hosts / web-2")
    page.go_back()
    wait_for(page, "2 hosts")
    page.go_back()
    wait_for(page, "Hosts / web-1")
    assert shown(page)[1:] == ("6h", f"{product.url}/host?host=web-1&range=6h")
    page.locator("a:has-text('Hosts')").first.click()
    wait_for(page, "2 hosts")
    assert page.url == f"{product.url}/host"


def test_the_log_comes_back_as_it_was_filtered(page, product):
    page.goto(f"{product.url}/incidents")
    page.click("[data-key='7d']")
    page.select_option("[aria-label='host']", "web-2")
    page.click("a:has-text('Overview')")
    page.wait_for_selector(".sim-plot-fleet")
    page.go_back()
    page.wait_for_selector("[data-key='7d'][aria-pressed='true']")
    assert page.input_value("[aria-label='host']") == "web-2"


def test_an_address_with_a_zoom_opens_the_same_view_elsewhere(page, product):
    page.goto(f"{product.url}/host?host=web-1&range=1h")
    page.wait_for_selector(".sim-plot-metric .main-svg")
    drag_over(page, 0.7, 0.9)
    page.wait_for_function("location.search.includes('zoom=')")
    view = "document.querySelectorAll('.sim-plot-metric')[1].layout.xaxis.range.map((at) => +new Date(at))"
    before = page.evaluate(view)
    other = page.context.new_page()
    other.goto(page.url)
    other.wait_for_selector(".sim-plot-metric .main-svg")
    other.wait_for_function(f"Math.abs(({view})[0] - {before[0]}) < 1000 && Math.abs(({view})[1] - {before[1]}) < 1000")


@pytest.mark.parametrize("host", ["web-1", "web-2"])
def test_the_expected_band_is_whole_on_both_sides_of_a_hole(page, product, host):
    page.goto(f"{product.url}/host?host={host}&range=1h")
    page.wait_for_selector(".sim-plot-metric .fills .js-fill", state="attached")
    found = page.evaluate(COVERED)
    assert found["known"] > 300
    assert (found["covered"], found["hole"]) == (found["known"], False)


def test_the_band_stays_whole_when_samples_come_back_after_a_hole(page, product):
    page.goto(f"{product.url}/host?host=web-2&range=1h")
    page.wait_for_selector(".sim-plot-metric .fills .js-fill", state="attached")
    now = time.time_ns() // 1_000_000
    for i in range(3):
        post(product=product, host=["web-2"], timestamp=[now + i * 1000], cpu=[30.0])
        page.wait_for_function(f"Number(document.querySelector('.sim-root').dataset.lastSample) === {now + i * 1000}")
    page.wait_for_function("document.querySelector('.sim-plot-metric').dataset.points")
    found = page.evaluate(COVERED)
    assert (found["covered"], found["hole"]) == (found["known"], False)


@pytest.mark.parametrize("path", ["/", "/host", "/host?host={}", "/incidents"])
def test_long_names_and_kept_notes_fit_a_phone(browser, product, path):
    name = "ip-10-203-117-42.eu-central-1.compute.internal.production.example.com"
    cpu = np.full(200, 30.0)
    cpu[150:] = 97
    times = (time.time_ns() // 1_000_000 + (np.arange(200) - 200) * STEP_MS).tolist()
    post(product=product, host=[name] * 200, timestamp=times, cpu=cpu.tolist())
    found = []
    while not found:
        found = requests.get(f"{product.url}/api/v1/incidents?host={name}", timeout=10).json()["incidents"]
    label = {"label": "never", "note": "why this happens each night " * 5}
    requests.put(f"{product.url}/api/v1/incidents/{found[0]['id']}/label", json=label, timeout=10).raise_for_status()
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page = context.new_page()
    page.goto(product.url + path.format(name))
    page.wait_for_function("document.querySelector('.sim-root')?.innerText.includes('ip-10-203')")
    page.wait_for_timeout(1000)
    wide = page.evaluate("document.querySelector('.stMain').scrollWidth")
    context.close()
    assert wide <= 390
