"""Host: one host's metrics with what was expected; without a host, the table of all."""

import streamlit as st

from monitor_core.dashboard.component import live_page

live_page("host", host=st.query_params.get("host"), range=st.query_params.get("range"))
