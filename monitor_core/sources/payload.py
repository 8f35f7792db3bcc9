"""HTTP body → Frame and the reasons for what was refused.

A body is one sample, a list of samples, or columns. Bodies that are right take a fast way (msgspec); as soon as
something is odd, the slow way looks at every sample by itself and says what is wrong with it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from monitor_core.frame import (
    DEFAULT_HOST,
    HOST_PATTERN,
    MAX_AHEAD_MS,
    Frame,
    Rejection,
    invalid_cells,
    make_frame,
)
from monitor_core.metrics import CATALOGUE, METRICS
from monitor_core.sources.timestamps import EARLIEST_MS, BadTime, from_number, from_text, parse_time

__all__ = ["BadBody", "Parsed", "parse_body", "parse_sample", "parse_time"]

MAX_DEPTH = 8
KNOWN = frozenset({"timestamp", "host", "simulated", *METRICS})
HOST_RULE = "host has other characters than letters, digits and . _ : -, or is longer than 253"


class BadBody(Exception):
    """This is no body at all; `detail` says why without repeating it."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status, self.detail = status, detail


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a body gave: valid samples, refused ones, how many fields were not known."""

    frame: Frame
    rejected: list[Rejection]
    ignored_fields: int = 0
    timestamp_given: bool = True


class _Sample(msgspec.Struct):
    timestamp: str | int | float | None = None
    host: str = DEFAULT_HOST
    simulated: bool = False
    cpu: float | None = None
    memory: float | None = None
    disk: float | None = None
    disk_io: float | None = None


_FAST = msgspec.json.Decoder(list[_Sample])
_KEYS = tuple(b'"%b":' % key.encode() for key in sorted(KNOWN))


def parse_body(body: bytes, now_ms: int) -> Parsed:
    """One sample, a list, or columns. Raises BadBody and nothing else, whatever the bytes."""
    fast = _parse_fast(body, now_ms)
    if fast is not None:
        return fast
    data = _load(body)
    if isinstance(data, dict) and any(isinstance(data.get(key), list) for key in KNOWN):
        data = _rows_of_columns(data)
    samples = data if isinstance(data, list) else [data]
    if not samples:
        raise BadBody(422, "There are no samples in the body.")
    return _parse_slow(samples, now_ms)


def parse_sample(body: bytes, now_ms: int) -> Parsed:
    """Exactly one sample; without a timestamp it is about now."""
    parsed = parse_body(body, now_ms)
    if len(parsed.frame) + len(parsed.rejected) != 1:
        raise BadBody(422, "This takes one sample.")
    return parsed


def _parse_fast(body: bytes, now_ms: int) -> Parsed | None:  # noqa: PLR0911 - each return is one thing that is odd
    """None as soon as anything is odd; then the slow way finds out what."""
    start = body.lstrip()[:1]
    # an escape could hide a second key of the same name
    if start not in (b"[", b"{") or b"\\" in body:
        return None
    try:
        samples = _FAST.decode(body if start == b"[" else b"[%b]" % body)
        times = _times([sample.timestamp for sample in samples], now_ms)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, BadTime, OverflowError):
        return None
    # unknown fields and keys that come twice show as more keys than the samples account for
    if not samples or body.count(b'":') != _expected_keys(body, len(samples)):
        return None
    if max(times) > now_ms + MAX_AHEAD_MS or min(times) < EARLIEST_MS:
        return None
    given = samples[0].timestamp is not None
    if len(samples) == 1:
        frame = _one_row(samples[0], times[0])
        return None if frame is None else Parsed(frame, [], 0, given)
    hosts = [sample.host for sample in samples]
    if not all(HOST_PATTERN.fullmatch(host) for host in set(hosts)):
        return None
    columns = [[getattr(sample, key) for sample in samples] for key in METRICS]
    values = np.array(columns, dtype=np.float64).T
    if invalid_cells(values).any() or np.isinf(values).any() or np.isnan(values).all(axis=1).any():
        return None
    return Parsed(make_frame(times, hosts, values, [s.simulated for s in samples]), [], 0, given)


def _one_row(sample: _Sample, at: int) -> Frame | None:
    """The same checks for a single sample, where array operations would cost more than the rest of the request."""
    values = [getattr(sample, key) for key in METRICS]
    for value, metric in zip(values, CATALOGUE, strict=True):
        if value is not None and not metric.low <= value <= metric.high:
            return None
    if not HOST_PATTERN.fullmatch(sample.host) or all(value is None for value in values):
        return None
    row = np.array([[math.nan if value is None else value for value in values]])
    return Frame(np.array([at]), (sample.host,), np.zeros(1, np.int32), row, np.array([sample.simulated]))


def _expected_keys(body: bytes, samples: int) -> int:
    """Keys that the body has when each known one comes at most once per sample."""
    counts = [body.count(key) for key in _KEYS]
    return sum(counts) if max(counts) <= samples else -1


def _times(given: list[Any], now_ms: int) -> list[int]:
    memo: dict[Any, int] = {None: now_ms}
    out = []
    for value in given:
        at = memo.get(value)
        if at is None:
            at = memo[value] = from_text(value) if isinstance(value, str) else from_number(value)
        out.append(at)
    return out


def _load(body: bytes) -> Any:
    """Strict JSON: UTF-8, no NaN, no key twice, not deep."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise BadBody(400, "The body is not UTF-8.") from None
    if _is_deep(body):
        raise BadBody(400, "The body is nested too deeply.")
    try:
        return json.loads(text, object_pairs_hook=_no_key_twice, parse_constant=_no_constant, parse_int=_number)
    except BadBody:
        raise
    except (ValueError, RecursionError):
        raise BadBody(400, "The body is not JSON.") from None


def _is_deep(body: bytes) -> bool:
    depth = 0
    for byte in body.translate(None, delete=bytes(set(range(256)) - set(b"[]{}"))):
        depth += 1 if byte in b"[{" else -1
        if depth > MAX_DEPTH:
            return True
    return False


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise BadBody(400, "A key comes twice in one object.")
    return found


def _no_constant(_: str) -> Any:
    raise BadBody(400, "NaN and Infinity are not JSON.")


def _number(text: str) -> int | float:
    # int() of 10,000 digits raises, and no value here needs more than these
    return int(text) if len(text) < 25 else math.inf


def _rows_of_columns(columns: dict[str, Any]) -> list[Any]:
    lengths = {len(column) for key, column in columns.items() if isinstance(column, list) and key in KNOWN}
    if len(lengths) != 1:
        raise BadBody(422, "The columns have different lengths.")
    n = lengths.pop()
    known = {key: column for key, column in columns.items() if key in KNOWN}
    spread = {key: column if isinstance(column, list) else [column] * n for key, column in known.items()}
    unknown = {key: None for key in columns if key not in KNOWN}
    rows: list[Any] = [{key: column[i] for key, column in spread.items() if column[i] is not None} for i in range(n)]
    if rows:
        rows[0] |= unknown
    return rows


def _parse_slow(samples: list[Any], now_ms: int) -> Parsed:
    good: list[tuple[int, str, list[float], bool]] = []
    rejected: list[Rejection] = []
    ignored = 0
    for index, sample in enumerate(samples):
        try:
            good.append(_one(sample, now_ms))
            ignored += len(sample.keys() - KNOWN)
        except _Refused as refused:
            rejected.append(Rejection(index, refused.field, refused.reason))
    given = isinstance(samples[0], dict) and samples[0].get("timestamp") is not None
    times = [row[0] for row in good]
    frame = make_frame(times, [row[1] for row in good], [row[2] for row in good], [row[3] for row in good])
    return Parsed(frame, rejected, ignored, given)


class _Refused(Exception):
    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field, self.reason = field, reason


def _one(sample: Any, now_ms: int) -> tuple[int, str, list[float], bool]:
    if not isinstance(sample, dict):
        raise _Refused("", "a sample is an object")
    values = [_value(sample.get(metric.key), metric.key, metric.low, metric.high) for metric in CATALOGUE]
    if all(math.isnan(value) for value in values):
        raise _Refused("", f"no metric given; known are {', '.join(METRICS)}")
    host = sample.get("host", DEFAULT_HOST)
    if not isinstance(host, str) or not HOST_PATTERN.fullmatch(host):
        raise _Refused("host", HOST_RULE)
    simulated = sample.get("simulated", False)
    if not isinstance(simulated, bool):
        raise _Refused("simulated", "simulated is true or false")
    return _time(sample.get("timestamp"), now_ms), host, values, simulated


def _value(value: Any, key: str, low: float, high: float) -> float:
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _Refused(key, f"{key} is not a number")
    if not low <= value <= high:
        shown = f"{value:g}" if math.isfinite(value) and abs(value) < 1e15 else "out of range"
        raise _Refused(key, f"{key} is {shown}, allowed {low:g}..{high:g}")
    return float(value)


def _time(value: Any, now_ms: int) -> int:
    readers: dict[type, Callable[[Any], int]] = {str: from_text, int: from_number, float: from_number}
    if value is None:
        return now_ms
    reader = readers.get(type(value))
    if reader is None:
        raise _Refused("timestamp", "timestamp is text or a number")
    try:
        at = reader(value)
    except (BadTime, OverflowError, ValueError) as error:
        reason = str(error) if isinstance(error, BadTime) else "timestamp is no instant of this era"
        raise _Refused("timestamp", reason) from None
    if at > now_ms + MAX_AHEAD_MS:
        raise _Refused("timestamp", f"timestamp is {(at - now_ms) / 60_000:.0f} min ahead")
    if at < EARLIEST_MS:
        raise _Refused("timestamp", "timestamp is before the year 2000")
    return at
