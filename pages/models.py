"""Models: what the detectors have learned, and retraining by hand."""

from monitor_core.dashboard.component import live_page

live_page("models")
