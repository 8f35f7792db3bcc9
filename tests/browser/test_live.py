import json
import urllib.request

import pytest

from tests.browser.conftest import WAIT_MS, drag_over, points

pytestmark = pytest.mark.browser
# the axis of the first chart in ms, which Plotly keeps as numbers or as text
SHOWN = """document.querySelector('.sim-plot-metric').layout.xaxis.range
  .map((at) => typeof at === 'number' ? at : Date.parse(at.replace(' ', 'T') + 'Z'))"""
CAUGHT_MS, TRAINED_MS = 150_000, 120_000


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
    page.wait_for_selector(".sim-learning[data-stage='limits only']:has-text('only limits speak; next: last hour in')")
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
    drag_over(page, 0.3, 0.6)
    # Plotly zooms in its own time: until then the axis shows fifteen minutes
    page.wait_for_function(f"(([from, to]) => to - from < 600_000)({SHOWN})")
    zoomed = page.evaluate(SHOWN)
    last = page.get_attribute(".sim-root", "data-last-sample")
    page.wait_for_function(f"Number(document.querySelector('.sim-root').dataset.lastSample) >= {int(last) + 3000}")
    assert page.evaluate(SHOWN) == pytest.approx(zoomed, abs=1)


def test_a_span_is_excluded_and_learned_from_again(page, product):
    page.goto(f"{product.url}/models")
    page.select_option(".sim-exclude select", "web-1")
    page.fill("[aria-label='From']", "2026-01-01T10:00")
    page.fill("[aria-label='To']", "2026-01-01T11:00")
    page.fill("[aria-label='Why']", "load test")
    page.click("button:has-text('Exclude')")
    page.wait_for_selector(".sim-spoken >> text=load test")
    page.click("text=Learn from it again")
    page.wait_for_selector("text=Nothing is excluded.")


def test_a_link_to_a_host_at_a_time_shows_that_time(page, product):
    now = page.evaluate("Date.now()")
    start, stop = now - 3 * 3_600_000, now - 3 * 3_600_000 + 600_000
    page.goto(f"{product.url}/host?host=web-2&from={start}&to={stop}")
    page.wait_for_selector("[data-key='6h'][aria-pressed='true']")
    page.wait_for_selector(".sim-plot-metric .main-svg")
    page.wait_for_function(f"(([from, to]) => to - from < 1_900_000)({SHOWN})")
    shift = page.evaluate(f"new Date({start}).getTimezoneOffset()") * 60_000
    assert page.evaluate(SHOWN) == pytest.approx([start - 600_000 - shift, stop + 600_000 - shift], abs=1_000)


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


# late, when the first training has long ended
def test_a_retrain_is_clicked_through_to_the_new_version(page, product):
    page.goto(f"{product.url}/models")
    page.wait_for_selector(".sim-second:has-text('is watching')", timeout=180_000)
    page.wait_for_selector(".sim-primary:not([disabled])")
    before = page.locator("tbody tr:has(button)").count()
    page.click("text=Retrain now")
    page.wait_for_selector("[data-state='done']:has-text('is ready and watching')", timeout=TRAINED_MS)
    page.wait_for_function(f"document.querySelectorAll('tbody tr button').length > {before}")
    page.locator("text=Activate").last.click()
    page.locator("text=Really watch with").click()
    page.wait_for_selector("tr:has-text('watching') >> text=/^1/")


def test_a_version_waits_is_promoted_and_rolled_back(page, product):
    page.goto(f"{product.url}/models")
    page.wait_for_selector(".sim-primary:not([disabled])")
    before = page.inner_text("h2:has-text('Watching: version')")
    page.check("text=ask me before it speaks")
    page.click("text=Retrain now")
    page.wait_for_selector("[data-state='done']:has-text('waits for you')", timeout=TRAINED_MS)
    assert page.inner_text("h2:has-text('Watching: version')") == before
    page.wait_for_selector(".sim-compare >> text=incidents opened")
    page.click("button:has-text('Promote')")
    page.click("button:has-text('Really watch with')")
    page.wait_for_selector(f"h2:has-text('Watching: version'):not(:has-text('{before}'))")
    page.click("button:has-text('Roll back to')")
    page.click("button:has-text('Really go back to')")
    page.wait_for_selector(f"h2:has-text('{before}')")
    assert page.locator(".sim-spoken li").first.inner_text().count("rolled back to") == 1


def test_the_page_says_when_the_service_is_gone_and_goes_where_somebody_clicked_when_it_is_back(page, product):
    page.goto(product.url)
    page.wait_for_selector(".sim-pill[data-state='live']")
    product.stop()
    page.wait_for_selector("h1:has-text('No news for')")
    assert page.locator(".sim-tile").count() == 4
    page.locator(".sim-cell").first.click()
    product.start()
    page.wait_for_selector("h1:has-text('Hosts /')")
    page.wait_for_selector(".sim-pill[data-state='live']")
