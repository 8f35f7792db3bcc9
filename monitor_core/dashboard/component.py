"""The in-page component: draws a whole page in the browser, from the JSON API and the live stream.

Streamlit mounts it once and never draws again: a refresh costs no page run and no chart is replaced. Its code lies in
assets/, plain ES modules served by our own origin.
"""

from __future__ import annotations

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
    if (!gone) stop = main.mount(root, component.data);
  }}, () => {{ root.textContent = "The service does not answer. Reload this page when it is back."; }});
  return () => {{ gone = true; delete root.dataset.mounted; stop(); }};
}}
"""


def live_page(page: str) -> None:
    """Mount the page's component. What the address asks for it reads itself, also when that changes without a run."""
    component = st.components.v2.component(
        f"monitor_{page}",
        html='<link rel="stylesheet" href="/assets/style.css"><div class="sim-root" role="main"></div>',
        js=_LOADER,
        isolate_styles=False,
    )
    component(key=f"page-{page}", data={"page": page})
