"""What a person sees and does: the keyboard keeps its place, a tap shows what it chose, a login says what it wants."""

import pytest
import requests

from tests.browser.conftest import WAIT_MS

pytestmark = pytest.mark.browser
ROWS = 12  # more than a phone shows
HELD = "document.activeElement.textContent"


def test_the_keyboard_keeps_its_place_in_a_table_that_is_drawn_again(page, product):
    page.goto(f"{product.url}/host")
    name = page.locator("td a:has-text('web-2')")
    name.focus()
    page.evaluate("window.first = document.activeElement")
    page.wait_for_function("!window.first.isConnected")
    assert page.evaluate(HELD) == "web-2"
    page.keyboard.press("Enter")
    page.wait_for_selector("h1:has-text('web-2')")


@pytest.mark.parametrize("row", ["last", "first"])
def test_on_a_phone_a_tap_in_the_log_shows_the_incident(browser, product, row):
    """From its top, also when the end of the one that was shown is still on the screen."""
    hosts = [f"over-{i}" for i in range(ROWS)]
    body = {"host": hosts, "cpu": [97] * ROWS, "memory": [40] * ROWS, "disk": [50] * ROWS}
    requests.post(f"{product.url}/ingest", json=body, timeout=10).raise_for_status()
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page = context.new_page()
    page.goto(f"{product.url}/incidents")
    page.wait_for_selector(".sim-side .sim-timeline", timeout=WAIT_MS)
    page.wait_for_selector(f".sim-log tbody tr >> nth={ROWS - 1}", timeout=WAIT_MS)
    if row == "first":
        seen = "document.querySelector('.sim-side').getBoundingClientRect().bottom"
        page.evaluate(f"document.querySelector('.stMain').scrollTop += {seen} - 300")
    getattr(page.locator(".sim-log tbody tr"), row).click()
    page.wait_for_function("document.querySelector('.sim-side').getBoundingClientRect().top >= 0")
    assert page.evaluate("document.querySelector('.sim-side').getBoundingClientRect().top") < 400
    context.close()


def test_the_table_of_hosts_says_how_it_is_sorted(page, product):
    page.goto(f"{product.url}/host")
    page.wait_for_selector("th[aria-sort='ascending']:has-text('State')")
    page.click("th button:has-text('CPU')")
    page.wait_for_selector("th[aria-sort='descending']:has-text('CPU')")
    page.click("th button:has-text('CPU')")
    page.wait_for_selector("th[aria-sort='ascending']:has-text('CPU')")


def test_a_value_is_called_the_last_one_while_no_news_comes(page, product):
    page.goto(f"{product.url}/host?host=web-2&range=15m")
    page.wait_for_selector(".sim-metric-head:has-text('% now')")
    product.stop()
    page.wait_for_selector(".sim-metric-head:has-text('% last')")
    product.start()


def test_a_filter_takes_away_the_incident_that_is_not_among_what_it_shows(page, product):
    page.goto(f"{product.url}/incidents")
    page.locator(".sim-log tbody tr").last.click()
    page.wait_for_selector(".sim-side .sim-timeline")
    assert "incident=" in page.url
    page.select_option("select[aria-label='label']", "never")
    page.wait_for_selector("text=None that fits what was chosen above.")
    page.wait_for_selector(".sim-side .sim-timeline", state="detached")
    page.wait_for_function("!location.search.includes('incident=')")
    page.select_option("select[aria-label='label']", "")
    page.wait_for_selector(".sim-side .sim-timeline")


def test_an_answer_that_comes_late_does_not_bring_back_what_a_filter_took_away(page, product):
    page.goto(f"{product.url}/incidents")
    page.wait_for_selector(".sim-side .sim-timeline")
    held = []

    def hold(route):
        held.append(route)

    page.route("**/api/v1/incidents/*", hold)
    page.locator(".sim-log tbody tr").last.click()
    page.select_option("select[aria-label='label']", "never")
    page.wait_for_selector("text=None that fits what was chosen above.")
    page.wait_for_selector(".sim-side .sim-timeline", state="detached")
    assert held
    with page.expect_response("**/api/v1/incidents/*"):
        held[0].continue_()
    page.wait_for_timeout(500)
    assert page.locator(".sim-side .sim-timeline").count() == 0
