"""Sending: one thread per channel that runs delivery, woken when the outbox has something new."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from monitor_core.alerting.delivery import Delivery

log = logging.getLogger("monitor.sending")


class Sender:
    """Runs one channel's delivery until stopped; `told` hears how many went out with each step."""

    def __init__(self, delivery: Delivery, told: Callable[[int], None]) -> None:
        self.delivery, self._told = delivery, told
        self._wake = threading.Event()
        self._stopping = False

    def nudge(self) -> None:
        """Something may be due."""
        self._wake.set()

    def stop(self) -> None:
        self._stopping = True
        self._wake.set()

    def run(self) -> None:
        while not self._stopping:
            self._wake.clear()
            before = self.delivery.health().sent_total
            try:
                wait = self.delivery.step()
                self._told(self.delivery.health().sent_total - before)
            except Exception:  # the state file may be full for a while; what is due stays due
                log.exception("delivery failed")
                wait = 1.0
            self._wake.wait(wait)


def nudge_all(senders: Sequence[Sender]) -> None:
    """Some channel has something to send."""
    for sender in senders:
        sender.nudge()
