"""Incidents: who and when, the log, one incident's timeline."""

from monitor_core.dashboard.component import live_page

live_page("incidents")
