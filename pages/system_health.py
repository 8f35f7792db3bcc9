"""System: one sample's way through the service, and how each step is doing."""

from monitor_core.dashboard.component import live_page

live_page("system_health")
