import json
import urllib.request

import pytest

from tests.browser.conftest import WAIT_MS, points

pytestmark = pytest.mark.browser
# the axis of the first chart in ms, which Plotly keeps as numbers or as text
SHOWN = """document.querySelector('.sim-plot-metric').layout.xaxis.range
  .map((at) => typeof at === 'number' ? at : Date.parse(at.replace(' ', 'T') + 'Z'))"""
CAUGHT_MS = 150_000


def test_a_deep_link_as_the_first_request_shows_its_page(page, product):
    page.goto(f"{product.url}/host?host=web-2&range=6h")
    page.wait_for_selector("h1:has-text('web-2')")
    assert page.get_attribute("[data-key='6h']", "aria-pressed") == "true"
    assert page.locator("nav, [data-testid='stTopNavLink'], header").first.is_visible()


def test_an_incident_says_what_would_be_normal_and_a_new_host_what_it_still_learns(page, product):
    body = json.dumps({"host": "new-1", "cpu": 97, "memory": 40, "disk": 50}).encode()
    urllib.request.urlopen(urllib.request.Request(f"{product.url}/ingest", body, {"Content-Type": "application/json"}))
    page.goto(f"{product.url}/host?host=new-1")
    page.wait_for_selector(".sim-counterfactual:has-text('Normal with CPU ≤ 82')")
    page.wait_for_selector(".sim-learning[data-stage='limits only']:has-text('only limits speak, last hour in')")
    page.wait_for_selector(".sim-incident:has-text('over its limit')")
    page.goto(f"{product.url}/host")
    page.wait_for_selector("tr:has-text('new-1'):has-text('limits only')")


def test_live_points_arrive_and_the_chart_is_never_replaced(page, product):
    page.goto(product.url)
    page.wait_for_selector(".sim-plot-fleet[data-points]")
    page.evaluate("window.first = document.querySelector('.sim-plot-fleet .main-svg')")
    before = points(page)
    page.wait_for_function(f"Number(document.querySelector('.sim-plot-fleet').dataset.points) >= {before + 3}")
    assert page.evaluate(
        "window.first.isConnected && window.first === document.querySelector('.sim-plot-fleet .main-svg')"
    )


def test_a_zoom_survives_live_samples(page, product):
    page.goto(f"{product.url}/host?host=web-2&range=15m")
    page.wait_for_selector(".sim-plot-metric[data-points]")
    box = page.locator(".sim-plot-metric .nsewdrag").first.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 40, steps=5)
    page.mouse.up()
    # Plotly zooms in its own time: until then the axis shows fifteen minutes
    page.wait_for_function(f"(([from, to]) => to - from < 600_000)({SHOWN})")
    zoomed = page.evaluate(SHOWN)
    last = page.get_attribute(".sim-root", "data-last-sample")
    page.wait_for_function(f"Number(document.querySelector('.sim-root').dataset.lastSample) >= {int(last) + 3000}")
    assert page.evaluate(SHOWN) == pytest.approx(zoomed, abs=1)


def test_a_retrain_is_clicked_through_to_the_new_version(page, product):
    page.goto(f"{product.url}/models")
    page.wait_for_selector(".sim-second:has-text('is watching')", timeout=60_000)
    page.wait_for_selector(".sim-primary:not([disabled])")
    before = page.locator("tbody tr:has(button)").count()
    page.click("text=Retrain now")
    page.wait_for_selector("[data-state='done']:has-text('is ready and watching')", timeout=60_000)
    page.wait_for_function(f"document.querySelectorAll('tbody tr button').length > {before}")
    page.locator("text=Activate").last.click()
    page.locator("text=Really watch with").click()
    page.wait_for_selector("tr:has-text('watching') >> text=/^1/")


def test_a_simulated_fault_is_caught_and_shown(page, product):
    page.goto(product.url)
    page.wait_for_selector(".sim-incident[data-tone='critical'] >> text=simulated", timeout=CAUGHT_MS)
    page.wait_for_selector("h1:has-text('attention')")
    page.locator(".sim-incident:has-text('simulated')").first.locator("text=Open").click()
    page.wait_for_selector("h1:has-text('Hosts /')")
    page.wait_for_selector("text=What made it unusual")
    assert "host=" in page.url


@pytest.mark.parametrize("path", ["/", "/host", "/host?host=web-1", "/incidents", "/models", "/system_health"])
def test_every_page_fits_a_phone(browser, product, path):
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page = context.new_page()
    page.goto(product.url + path)
    page.wait_for_selector(".sim-head", timeout=WAIT_MS)
    page.wait_for_timeout(500)
    assert page.evaluate("document.querySelector('.stMain').scrollWidth") <= 390
    context.close()


def test_the_page_says_when_the_service_is_gone_and_when_it_is_back(page, product):
    page.goto(product.url)
    page.wait_for_selector(".sim-pill[data-state='live']")
    product.stop()
    page.wait_for_selector("h1:has-text('No news for')")
    assert page.locator(".sim-tile").count() == 4
    product.start()
    page.wait_for_selector(".sim-pill[data-state='live']")
