"""Sending: a blob of lines on its way into a bucket, and what is done with lines that InfluxDB will never take.

What a refusal means was measured on v2.7.12: after a 400 or 413 nothing of the body is stored, after a 422 everything
but the dropped lines is. Writing a line again is harmless, so a bad line may be looked for by halves.
"""

from __future__ import annotations

import re

from monitor_core.storage.influxdb.connection import BodyRefused, Connection, short
from monitor_core.storage.timeseries import RefusedSample

_QUOTED = re.compile(r"unable to parse '(.*?)': ([^\n]*)")


def send(connection: Connection, bucket: str, blob: bytes) -> list[RefusedSample]:
    """All lines but the ones returned are stored. Raises StoreUnavailable when that is not known."""
    try:
        connection.write(bucket, blob)
    except BodyRefused as refused:
        lines = blob.split(b"\n")
        if refused.rest_stored:
            return _dropped(connection, bucket, lines, refused)
        return _without_quoted(connection, bucket, lines, refused)
    return []


def _without_quoted(
    connection: Connection, bucket: str, lines: list[bytes], refused: BodyRefused
) -> list[RefusedSample]:
    """Nothing is stored: take out the lines that the server quotes, or look for them by halves."""
    quoted = {line.encode(): reason for line, reason in _QUOTED.findall(refused.reason)}
    bad = [RefusedSample(_text(line), short(quoted[line])) for line in lines if line in quoted]
    if not bad:
        return _by_halves(connection, bucket, lines, refused)
    rest = [line for line in lines if line not in quoted]
    return bad + (send(connection, bucket, b"\n".join(rest)) if rest else [])


def _dropped(connection: Connection, bucket: str, lines: list[bytes], refused: BodyRefused) -> list[RefusedSample]:
    """The rest is stored: only find out which lines are not."""
    reason = short(refused.reason)
    if refused.dropped >= len(lines):
        return [RefusedSample(_text(line), reason) for line in lines]
    if "retention" in refused.reason:  # then they are the oldest ones
        oldest = sorted(lines, key=lambda line: int(line.rpartition(b" ")[2]))[: refused.dropped]
        return [RefusedSample(_text(line), reason) for line in oldest]
    return _by_halves(connection, bucket, lines, refused)


def _by_halves(connection: Connection, bucket: str, lines: list[bytes], refused: BodyRefused) -> list[RefusedSample]:
    if len(lines) == 1:
        return [RefusedSample(_text(lines[0]), short(refused.reason))]
    middle = len(lines) // 2
    halves = (lines[:middle], lines[middle:])
    return [found for half in halves for found in send(connection, bucket, b"\n".join(half))]


def _text(line: bytes) -> str:
    return line.decode("utf-8", "replace")[:1_000]
