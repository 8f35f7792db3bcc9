"""What a person sees and does: the keyboard keeps its place, a tap shows what it chose, a login says what it wants."""

import pytest

pytestmark = pytest.mark.browser
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
