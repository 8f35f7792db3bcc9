"""Incidents: who and when, the log, one incident's timeline."""

import streamlit as st

from monitor_core.dashboard.component import live_page

live_page("incidents", incident=st.query_params.get("incident"), range=st.query_params.get("range"))
