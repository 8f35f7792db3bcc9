"""Buckets: which ones there must be, and what their retention is.

A bucket that this service made says so in its description, and only there is retention ever changed; a bucket of
somebody else's keeps what it has, and a difference is said.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from monitor_core.storage.influxdb.connection import Connection
from monitor_core.storage.timeseries import StoreUnavailable

OURS = "made by Smart Infra Monitor"
DAY_SECONDS = 86_400


def ensure(connection: Connection, days: Mapping[str, float]) -> tuple[dict[str, float | None], list[str]]:
    """Make what is missing. Returns the days that each bucket really keeps (None: for ever) and what differs, in words.

    Raises StoreUnavailable, with a sentence about what to do when the token may not.
    """
    kept: dict[str, float | None] = {}
    notices = []
    for name, wanted in days.items():
        bucket = connection.bucket(name) or _make(connection, name, wanted)
        seconds = _seconds(bucket)
        if seconds != round(wanted * DAY_SECONDS) and (bucket.description or "") == OURS:
            connection.update_retention(bucket, round(wanted * DAY_SECONDS))
            seconds = round(wanted * DAY_SECONDS)
        kept[name] = seconds / DAY_SECONDS if seconds else None
        if kept[name] != wanted:
            notices.append(f"The bucket {name} keeps its points {_span(kept[name])}, not {wanted:g} days as set here.")
    return kept, notices


def _make(connection: Connection, name: str, days: float) -> Any:
    try:
        return connection.create_bucket(name, round(days * DAY_SECONDS), OURS)
    except StoreUnavailable as error:
        if not error.needs_operator:
            raise
        raise StoreUnavailable(
            f"InfluxDB has no bucket {name} that this token may see, and the token may not create one: create it with"
            f" a retention of {days:g} days and let the token read and write it",
            needs_operator=True,
        ) from None


def _seconds(bucket: Any) -> int:
    return sum(int(rule.every_seconds or 0) for rule in bucket.retention_rules or [])


def _span(days: float | None) -> str:
    return "for ever" if days is None else f"{days:g} days"
