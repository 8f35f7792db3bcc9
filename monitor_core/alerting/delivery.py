"""Delivery: takes what is due from the outbox, sends it, marks it. Send first, then mark: nothing is lost, and after a
crash in between at most one message comes twice (and says that it may be a repeat)."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from monitor_core.alerting.channels.base import Channel, SendFailed
from monitor_core.backoff import next_delay_seconds
from monitor_core.notifications import Notification

log = logging.getLogger("monitor.delivery")

LONGEST_DELAY_SECONDS = 300.0
GIVE_UP_AFTER = 12
CLAIM = 200
IDLE_SECONDS = 1.0


class Outbox(Protocol):
    """What delivery needs of the state."""

    def claim(self, channel: str, now: int, limit: int) -> list[Notification]: ...

    def mark_sent(self, ids: Sequence[int], at: int) -> None: ...

    def mark_retry(self, ids: Sequence[int], due_at: int, error: str) -> None: ...

    def mark_dead(self, ids: Sequence[int], error: str) -> None: ...


@dataclass(frozen=True, slots=True)
class DeliveryHealth:
    """How a channel fares. Times ms UTC."""

    sent_total: int = 0
    failed_total: int = 0
    last_error: str | None = None
    last_success_at: int | None = None
    last_latency_ms: float | None = None


class Delivery:
    """One channel's messages. `clock` gives ms UTC, `monotonic` seconds."""

    def __init__(
        self,
        outbox: Outbox,
        channel: Channel,
        clock: Callable[[], int],
        monotonic: Callable[[], float],
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._outbox, self._channel = outbox, channel
        self._clock, self._monotonic, self._jitter = clock, monotonic, jitter
        self._last_try: float | None = None
        self._health = DeliveryHealth()

    @property
    def name(self) -> str:
        return self._channel.name

    def health(self) -> DeliveryHealth:
        return self._health

    def step(self) -> float:
        """Send what is due as one message; returns the seconds after which it is worth calling again."""
        wait = self._wait_for_gap()
        if wait > 0:
            return wait
        due = self._outbox.claim(self._channel.name, self._clock(), CLAIM)
        if not due:
            return IDLE_SECONDS
        started = self._last_try = self._monotonic()
        ids = [item.id for item in due]
        try:
            self._channel.send(due, self._clock())
        except SendFailed as failure:
            self._failed(due, failure)
        except Exception as error:  # a fault in a channel is no reason to lose a message
            log.exception("the channel %s has a fault", self._channel.name)
            self._failed(due, SendFailed(f"fault in the channel ({type(error).__name__})", permanent=False))
        else:
            self._outbox.mark_sent(ids, self._clock())
            latency = (self._monotonic() - started) * 1000
            sent, failed = self._health.sent_total + len(ids), self._health.failed_total
            self._health = DeliveryHealth(sent, failed, None, self._clock(), latency)
        return min(IDLE_SECONDS, self._channel.min_gap_seconds)

    def _wait_for_gap(self) -> float:
        if self._last_try is None:
            return 0.0
        return self._last_try + self._channel.min_gap_seconds - self._monotonic()

    def _failed(self, due: Sequence[Notification], failure: SendFailed) -> None:
        log.warning("%s: %s", self._channel.name, failure.reason)
        dead = [item.id for item in due if failure.permanent or item.attempts >= GIVE_UP_AFTER]
        again = [item for item in due if item.id not in dead]
        if dead:
            self._outbox.mark_dead(dead, failure.reason)
        if again:
            attempt = max(item.attempts for item in again) - 1
            delay = next_delay_seconds(attempt, failure.retry_after_seconds, self._jitter(), LONGEST_DELAY_SECONDS)
            due_at = self._clock() + int(delay * 1000)
            self._outbox.mark_retry([item.id for item in again], due_at, failure.reason)
        old = self._health
        self._health = DeliveryHealth(
            old.sent_total, old.failed_total + 1, failure.reason, old.last_success_at, old.last_latency_ms
        )
