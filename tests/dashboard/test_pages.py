"""The pages as Streamlit runs them, and rules that hold for everything sent to browsers."""

import json
import re
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

ROOT = Path(__file__).parents[2]
ASSETS = ROOT / "monitor_core" / "dashboard" / "assets"
PAGES = ["overview", "host", "incidents", "models", "system_health"]
CODE = sorted([*ASSETS.rglob("*.js"), *ASSETS.rglob("*.css")])


def mounted(page):
    """What the page's component was given."""
    assert not page.exception
    (component,) = page.get("bidi_component")
    return json.loads(component.proto.json)


@pytest.mark.parametrize("name", PAGES)
def test_every_page_mounts_its_component_without_any_data(name):
    page = AppTest.from_file(str(ROOT / "pages" / f"{name}.py"), default_timeout=20).run()
    assert mounted(page) == {"page": name}


@pytest.mark.parametrize("path", CODE, ids=lambda path: path.name)
def test_nothing_comes_from_elsewhere_and_no_text_becomes_markup(path):
    text = path.read_text()
    assert re.findall(r"https?://(?!www\.w3\.org)", text) == []
    assert re.findall(r"innerHTML\s*=|insertAdjacentHTML|document\.write|eval\(", text) == []


@pytest.mark.parametrize("path", CODE, ids=lambda path: path.name)
def test_no_asset_is_longer_than_four_hundred_lines(path):
    assert len(path.read_text().splitlines()) <= 400


def test_the_font_is_shipped_with_its_licence():
    assert len(list((ASSETS / "fonts").glob("*.woff2"))) == 2
    assert "SIL Open Font License" in (ASSETS / "fonts" / "LICENSE.txt").read_text()
