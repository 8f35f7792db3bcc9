import time

import numpy as np
import pytest
import requests

from tests.browser.conftest import Product

pytestmark = pytest.mark.browser
STEP_MS = 3_000
EFFECT = "CPU unusually high on web-1 opens no incident any more, unless a limit is exceeded."


@pytest.fixture(scope="module")
def product(tmp_path_factory):
    running = Product(
        tmp_path_factory.mktemp("labels"), SIMULATED_HOSTS="0", COLLECT_THIS_HOST="false", TRAIN_AT_HOUR="-1"
    )
    cpu = np.round(30 + np.random.default_rng(0).normal(0, 1, 500), 1)
    cpu[400:420] += 30
    times = time.time_ns() // 1_000_000 + (np.arange(500) - 500) * STEP_MS
    columns = {"host": ["web-1"] * 500, "timestamp": times.tolist(), "cpu": cpu.tolist(), "memory": [40.0] * 500}
    requests.post(f"{running.url}/ingest", json=columns, timeout=10).raise_for_status()
    yield running
    running.stop()


def test_an_incident_is_labelled_by_a_click_and_taken_back_by_the_keyboard(page, product):
    page.goto(f"{product.url}/incidents")
    page.click(".sim-choice:has-text('Never tell me')")
    for _ in range(2):
        page.wait_for_selector(f".sim-label .sim-effect:text-is('{EFFECT}')")
        assert page.inner_text(".sim-label [role='status']") == "Never tell me"
        assert page.inner_text(".sim-log tbody .sim-tag[data-tone='label']") == "Never tell me"
        page.reload()
    page.select_option("[aria-label='label']", "none")
    page.wait_for_selector("text=None that fits what was chosen above.")
    page.select_option("[aria-label='label']", "never")
    page.wait_for_selector(".sim-log tbody tr")
    page.focus(".sim-label button:text-is('Change')")
    page.keyboard.press("Enter")
    page.wait_for_selector(".sim-choice[aria-pressed='true']:focus >> text=Never tell me")
    page.click("text=Keep the label")
    page.focus(".sim-label button:text-is('Take back')")
    page.keyboard.press("Enter")
    page.wait_for_selector(".sim-choice:focus >> text=Real")
    assert requests.get(f"{product.url}/api/v1/labels", timeout=10).json()["labels"] == []


def test_the_page_of_the_host_says_what_is_kept_quiet_and_takes_it_back(page, product):
    (incident,) = requests.get(f"{product.url}/api/v1/incidents", timeout=10).json()["incidents"]
    url = f"{product.url}/api/v1/incidents/{incident['id']}/label"
    requests.put(url, json={"label": "never"}, timeout=10).raise_for_status()
    page.goto(f"{product.url}/host?host=web-1")
    page.wait_for_selector(f".sim-card:has-text('Kept quiet here') >> text={EFFECT}")
    page.click(".sim-rule button")
    page.wait_for_selector("text=Kept quiet here", state="detached")
    assert requests.get(f"{product.url}/api/v1/labels", timeout=10).json()["labels"] == []
