"""Navigation: the pages, their titles and paths."""

from __future__ import annotations

from pathlib import Path

import streamlit as st
from streamlit.navigation.page import StreamlitPage

ICON = Path(__file__).parent / "assets" / "icon.png"


def navigation() -> StreamlitPage:
    """The top navigation; returns the page that was asked for."""
    st.set_page_config(page_title="Smart Infra Monitor", page_icon=str(ICON), layout="wide")
    pages = [
        st.Page("pages/overview.py", title="Overview", icon=":material/dashboard:", default=True),
        st.Page("pages/host.py", title="Hosts", icon=":material/dns:", url_path="host"),
        st.Page("pages/incidents.py", title="Incidents", icon=":material/notifications_active:", url_path="incidents"),
        st.Page("pages/models.py", title="Models", icon=":material/model_training:", url_path="models"),
        st.Page("pages/system_health.py", title="System", icon=":material/monitor_heart:", url_path="system_health"),
    ]
    return st.navigation(pages, position="top")
