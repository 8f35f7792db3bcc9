"""Connection: the only place that talks to InfluxDB; turns every fault into one of two words.

`StoreUnavailable` (keep what you have, try again) or `BodyRefused` (the server will never take this body). Writes are
synchronous: the client's batching writer keeps its queue in memory, drops a batch after three minutes and says nothing.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

from influxdb_client import Dialect, InfluxDBClient, WritePrecision
from influxdb_client.client.exceptions import InfluxDBError
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.rest import ApiException
from urllib3.exceptions import HTTPError

from monitor_core.storage.timeseries import StoreUnavailable

CONNECT_MS, WRITE_MS, QUERY_MS = 3_000, 10_000, 30_000
STILL_TRUE_SECONDS = 10.0
_DIALECT = Dialect(header=True, delimiter=",", annotations=[], comment_prefix="#", date_time_format="RFC3339")
_OUR_FAULT = (401, 403, 404)
_TOO_LARGE, _BAD_BODY, _PARTLY = 413, 400, 422
_DROPPED = re.compile(r"dropped[ =](\d+)")
_LONGEST_MESSAGE = 300

T = TypeVar("T")


class BodyRefused(Exception):
    """The server does not want this body. `rest_stored`: all lines but the dropped ones are stored, else none is."""

    def __init__(self, reason: str, *, rest_stored: bool, dropped: int = 0) -> None:
        super().__init__(reason)
        self.reason, self.rest_stored, self.dropped = reason, rest_stored, dropped


class Connection:
    """One server, one organisation. Safe to use from several threads; the token is in no message."""

    def __init__(self, url: str, token: str, org: str) -> None:
        self.org = org
        self._client = InfluxDBClient(url=url, token=token, org=org, timeout=(CONNECT_MS, QUERY_MS))
        self._writer = self._client.write_api(write_options=SYNCHRONOUS)
        self._queries = self._client.query_api()
        self._deletes = self._client.delete_api()
        self._fault: str | None = None
        self._asked_at = -math.inf

    def write(self, bucket: str, lines: bytes) -> None:
        """Durable on return. Raises StoreUnavailable, BodyRefused."""

        def work() -> None:
            limits = (CONNECT_MS / 1000, WRITE_MS / 1000)
            self._writer.write(bucket, record=lines, write_precision=WritePrecision.MS, _request_timeout=limits)

        self._ask(work, _write_fault)

    def query(self, flux: str, params: dict[str, Any]) -> bytes:
        """The answer as CSV. `params` are bound, never part of the text. Raises StoreUnavailable."""
        return self._ask(lambda: bytes(self._queries.query_raw(flux, dialect=_DIALECT, params=params).data))

    def delete(self, bucket: str, predicate: str, start: int, stop: int) -> None:
        """Points with the predicate in [start, stop], ms UTC, both included. Raises StoreUnavailable."""
        self._ask(lambda: self._deletes.delete(instant(start), instant(stop), predicate, bucket=bucket))

    def version(self) -> str:
        """As the server names it, e.g. v2.7.12. Raises StoreUnavailable."""
        return self._ask(lambda: str(self._client.version()))

    def fault(self) -> str | None:
        """What the last request met; asks again only when that was a while ago."""
        if time.monotonic() - self._asked_at > STILL_TRUE_SECONDS:
            with contextlib.suppress(StoreUnavailable):
                self.version()
        return self._fault

    def bucket(self, name: str) -> Any:
        """The bucket of that name, None when there is none that this token may see."""
        found = self._ask(lambda: self._client.buckets_api().find_buckets(name=name))
        return found.buckets[0] if found and found.buckets else None

    def create_bucket(self, name: str, seconds: int, description: str) -> Any:
        """A new bucket. Raises StoreUnavailable, also when the token may not."""
        rules = [{"type": "expire", "everySeconds": seconds}]
        create = self._client.buckets_api().create_bucket
        return self._ask(lambda: create(bucket_name=name, retention_rules=rules, description=description, org=self.org))

    def update_retention(self, bucket: Any, seconds: int) -> None:
        """Only for buckets that this service made."""
        bucket.retention_rules = [{"type": "expire", "everySeconds": seconds}]
        self._ask(lambda: self._client.buckets_api().update_bucket(bucket))

    def remove_bucket(self, name: str) -> None:
        """A bucket and everything in it."""
        bucket = self.bucket(name)
        if bucket is not None:
            self._ask(lambda: self._client.buckets_api().delete_bucket(bucket))

    def close(self) -> None:
        self._client.close()

    def _ask(self, work: Callable[[], T], fault: Callable[[Any], Exception] | None = None) -> T:
        try:
            answer = work()
        except (ApiException, InfluxDBError) as error:
            raise self._note((fault or _fault)(error)) from None
        except (HTTPError, OSError) as error:
            raise self._note(StoreUnavailable(f"InfluxDB cannot be reached ({_kind(error)})")) from None
        self._note(None)
        return answer

    def _note(self, fault: Exception | None) -> Exception:
        """Remember how it went; a body that is refused is no fault of the connection."""
        self._fault = str(fault) if isinstance(fault, StoreUnavailable) else None
        self._asked_at = time.monotonic()
        return fault or StoreUnavailable("")


def instant(ms: int) -> datetime:
    """ms UTC as InfluxDB's client takes it."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)


def span(ms: int) -> timedelta:
    return timedelta(milliseconds=ms)


def _fault(error: Any) -> Exception:
    """What an HTTP answer means for whoever asked."""
    status, message = _status(error), short(_message(error))
    if status == 0:  # the client itself gives up, for instance when the token may not see its organisation
        return StoreUnavailable(f"InfluxDB's client refuses: {short(str(error))}", needs_operator=True)
    if status in _OUR_FAULT:
        return StoreUnavailable(f"InfluxDB refuses ({status}): {message}", needs_operator=True)
    return StoreUnavailable(f"InfluxDB answers {status}: {message}", retry_after_seconds=_retry_after(error))


def _write_fault(error: Any) -> Exception:
    """What it means for a body that was sent."""
    status, message = _status(error), _message(error)
    if status in (_BAD_BODY, _TOO_LARGE):
        return BodyRefused(message, rest_stored=False)
    if status == _PARTLY:
        found = _DROPPED.search(message)
        return BodyRefused(message, rest_stored=True, dropped=int(found[1]) if found else 0)
    return _fault(error)


def _status(error: Any) -> int:
    return int(getattr(error, "status", None) or getattr(getattr(error, "response", None), "status", 0) or 0)


def _message(error: Any) -> str:
    body = getattr(error, "body", None) or getattr(getattr(error, "response", None), "data", None) or b""
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else str(body)
    with contextlib.suppress(ValueError, AttributeError):
        text = json.loads(text).get("message") or text
    return text.strip() or "no reason given"


def short(message: str) -> str:
    """A reason as people read it: one line, cut."""
    line = " ".join(message.split())
    return line if len(line) <= _LONGEST_MESSAGE else line[: _LONGEST_MESSAGE - 1] + "…"


def _retry_after(error: Any) -> float | None:
    headers = getattr(error, "headers", None) or getattr(getattr(error, "response", None), "headers", None) or {}
    given = headers.get("Retry-After")
    if given is None:
        return None
    with contextlib.suppress(ValueError):
        return max(0.0, float(given))
    with contextlib.suppress(ValueError, TypeError):
        return max(0.0, (parsedate_to_datetime(given) - datetime.now(UTC)).total_seconds())
    return None


def _kind(error: BaseException) -> str:
    """The innermost reason in a word; the text of urllib3 holds addresses and object ids."""
    reason = getattr(error, "reason", None)
    return _kind(reason) if isinstance(reason, BaseException) else type(error).__name__.removesuffix("Error")
