"""Host: one host's metrics with what was expected; without a host, the table of all."""

from monitor_core.dashboard.component import live_page

live_page("host")
