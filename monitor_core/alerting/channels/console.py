"""The console: what happens when nothing else is configured."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from monitor_core.alerting.messages import plain_text
from monitor_core.notifications import Notification

log = logging.getLogger("monitor.alerts")


class ConsoleChannel:
    """Writes to the log."""

    name = "console"
    min_gap_seconds = 0.0

    def __init__(self, public_url: str | None = None) -> None:
        self._public_url = public_url

    def send(self, notifications: Sequence[Notification], now_ms: int) -> None:
        log.warning("%s", plain_text(notifications, self._public_url, now_ms))
