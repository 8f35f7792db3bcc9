"""Slack by incoming webhook. The webhook's address is a secret: no text that leaves this file contains it."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import requests

from monitor_core.alerting.channels.base import SendFailed
from monitor_core.alerting.messages import slack_message
from monitor_core.notifications import Notification

TIMEOUT = (3.0, 5.0)
LONGEST_WAIT_SECONDS = 60.0
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class SlackChannel:
    """One webhook. Slack takes about one message a second per channel."""

    name = "slack"
    min_gap_seconds = 1.0

    def __init__(self, webhook_url: str, public_url: str | None = None) -> None:
        parts = urlsplit(webhook_url)
        if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOOPBACK):
            raise ValueError("the Slack webhook must begin with https://")
        self._webhook_url, self._public_url = webhook_url, public_url
        self._session = requests.Session()
        # no proxy and no netrc from the environment: the webhook goes where the operator said, or nowhere
        self._session.trust_env = False

    def __repr__(self) -> str:
        return "SlackChannel(https://hooks.slack.com/…)"

    def send(self, notifications: Sequence[Notification], now_ms: int) -> None:
        message = slack_message(notifications, self._public_url, now_ms)
        body = {"text": message.text, "blocks": message.blocks}
        try:
            answer = self._session.post(self._webhook_url, json=body, timeout=TIMEOUT, allow_redirects=False)
        except requests.Timeout:
            raise SendFailed("Slack did not answer in time", permanent=False) from None
        except requests.RequestException as error:
            # the text of these exceptions carries the address
            raise SendFailed(f"Slack cannot be reached ({type(error).__name__})", permanent=False) from None
        _raise_for(answer)


def _raise_for(answer: requests.Response) -> None:
    status = answer.status_code
    if status < 300:
        return
    if status == 429:
        wait = retry_after(answer.headers.get("Retry-After"), datetime.now(UTC))
        raise SendFailed("Slack asks to wait (429)", permanent=False, retry_after_seconds=wait)
    if status >= 500:
        raise SendFailed(f"Slack has a fault ({status})", permanent=False)
    if status < 400:
        raise SendFailed(f"Slack answers with a redirect ({status}), which is not followed", permanent=True)
    raise SendFailed(f"Slack refuses the message ({status}): the webhook is gone or wrong", permanent=True)


def retry_after(header: str | None, now: datetime) -> float | None:
    """Seconds from the header (a number or an HTTP date), at most a minute; None when it says nothing usable."""
    if not header:
        return None
    seconds: float | None = None
    with contextlib.suppress(ValueError):
        seconds = float(header)
    if seconds is None:
        with contextlib.suppress(ValueError, TypeError):
            seconds = (parsedate_to_datetime(header) - now).total_seconds()
    if seconds is None or math.isnan(seconds):
        return None
    return min(max(seconds, 0.0), LONGEST_WAIT_SECONDS)
