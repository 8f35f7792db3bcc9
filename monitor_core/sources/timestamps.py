"""Timestamps as people and programs write them → ms UTC, unsnapped."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime

_SHAPE = re.compile(r"^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d([.,]\d{1,9})?)?\s?([Zz]|[+-]\d\d:?\d\d)?$", re.ASCII)
_RELATIVE = re.compile(r"^-(\d{1,9})([smhd])$", re.ASCII)
_UNIT_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EARLIEST_MS = 946_684_800_000


class BadTime(ValueError):
    """It is not a time; the message says what a time is, not what was given."""


def from_number(number: float) -> int:
    """Epoch seconds, ms, µs or ns, told apart by magnitude."""
    size = abs(number)
    if size < 5e9:
        return int(number * 1000)
    if size < 5e12:
        return int(number)
    if size < 5e15:
        return int(number // 1000)
    if size < 5e18:
        return int(number // 1_000_000)
    raise BadTime("timestamp is no instant of this era")


def from_text(text: str) -> int:
    """RFC 3339, with a space for the T too; without an offset it is UTC."""
    if not _SHAPE.match(text):
        raise BadTime("timestamp is not RFC 3339 or epoch")
    try:
        moment = datetime.fromisoformat(text.replace(" ", "T", 1).replace(" ", "").upper())
    except ValueError:
        raise BadTime("timestamp is not a date that exists") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    since = moment - _EPOCH
    return since.days * 86_400_000 + since.seconds * 1000 + since.microseconds // 1000


def parse_time(text: str, now_ms: int) -> int:
    """A query parameter: RFC 3339, epoch, or relative to now as in -15m. Raises BadTime (a ValueError)."""
    relative = _RELATIVE.match(text)
    if relative:
        return now_ms - int(relative[1]) * _UNIT_MS[relative[2]]
    try:
        number = float(text)
    except ValueError:
        # a plus sign in a query string arrives as a space
        return from_text(re.sub(r" (\d\d:?\d\d)$", r"+\1", text) if text.count(" ") == 1 and "T" in text else text)
    if not math.isfinite(number):
        raise BadTime("timestamp is not a number")
    return from_number(number)
