"""The in-page component: draws a whole page in the browser, from the JSON API and the live stream.

Streamlit mounts it once and never draws again: a refresh costs no page run and no chart is replaced. Its code lies in
assets/, plain ES modules served by our own origin.
"""

from __future__ import annotations

from typing import Any

import streamlit as st

from monitor_core import __version__

_LOADER = f"""
export default function (component) {{
  const {{ parentElement }} = component;
  const root = parentElement.querySelector(".sim-root");
  if (root.dataset.mounted === component.data.page) return;
  root.dataset.mounted = component.data.page;
  let stop = () => {{}};
  let gone = false;
  import(new URL("/assets/main.js?v={__version__}", location.origin).href).then((main) => {{
    if (!gone) stop = main.mount(root, component.data, (to) => component.setTriggerValue("navigate", to));
  }}, () => {{ root.textContent = "The service does not answer. Reload this page when it is back."; }});
  return () => {{ gone = true; delete root.dataset.mounted; stop(); }};
}}
"""

PAGES = {
    "overview": "pages/overview.py",
    "host": "pages/host.py",
    "incidents": "pages/incidents.py",
    "models": "pages/models.py",
    "system_health": "pages/system_health.py",
}


def live_page(page: str, **choice: str | None) -> None:
    """Mount the page's component; `choice` is what the address asked for (host, range, …)."""
    component = st.components.v2.component(
        f"monitor_{page}",
        html='<link rel="stylesheet" href="/assets/style.css"><div class="sim-root" role="main"></div>',
        js=_LOADER,
        isolate_styles=False,
    )
    result = component(key=f"page-{page}", data={"page": page, **choice}, on_navigate_change=lambda: None)
    follow(result.get("navigate"))


def follow(wanted: Any) -> None:
    """Go to another page without a reload when somebody clicked a link to it."""
    if wanted and wanted.get("page") in PAGES:
        parameters = {key: str(value) for key, value in wanted.get("params", {}).items()}
        st.switch_page(PAGES[wanted["page"]], query_params=parameters)
