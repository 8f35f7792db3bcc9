"""What every channel must do, and how it says that it could not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from monitor_core.notifications import Notification


class SendFailed(Exception):
    """A message did not go out. `permanent`: trying again is pointless. `reason` holds no secret."""

    def __init__(self, reason: str, *, permanent: bool, retry_after_seconds: float | None = None) -> None:
        super().__init__(reason)
        self.reason, self.permanent, self.retry_after_seconds = reason, permanent, retry_after_seconds


class Channel(Protocol):
    """Sends notifications as one message. `min_gap_seconds`: how far apart two messages must be."""

    name: str
    min_gap_seconds: float

    def send(self, notifications: Sequence[Notification], now_ms: int) -> None:
        """Returns once the other side has it. Raises SendFailed."""
