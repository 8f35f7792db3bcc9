"""Notification: one message for one channel with one dedup key, and where it is on its way."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from monitor_core.incidents import Incident


class Event(StrEnum):
    """What a notification reports of its incident."""

    OPENED = "opened"
    RESOLVED = "resolved"


class DeliveryState(StrEnum):
    """pending → sending → sent, or back to pending, or dead after the last try or a permanent refusal."""

    PENDING = "pending"
    SENDING = "sending"
    SENT = "sent"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class Notification:
    """One row of the outbox. `key` is unique: `incident id:event:channel`. Times are ms UTC.

    `incident` is as it was when the notification was written, so that a late message still says what happened.
    """

    id: int
    key: str
    channel: str
    event: Event
    incident: Incident
    created_at: int
    due_at: int
    state: DeliveryState = DeliveryState.PENDING
    attempts: int = 0
    last_error: str | None = None
    sent_at: int | None = None
    may_be_repeat: bool = False


def notification_key(incident_id: int, event: Event, channel: str) -> str:
    """The dedup key; a second row with it is not written."""
    return f"{incident_id}:{event}:{channel}"
