"""Overview: is anything wrong, and where?"""

from monitor_core.dashboard.component import live_page

live_page("overview")
