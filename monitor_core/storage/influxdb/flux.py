"""Flux: the text of every question, and what is bound to it (pure).

Each pipeline begins with its own `from()`: one that shares a variable is not pushed down to storage and takes eighty
times as long. Nothing that somebody else chose is ever part of a text; it is bound. tests/storage/influxdb shows by the
server's own profiler that every question here is pushed down.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from monitor_core.frame import DEFAULT_HOST
from monitor_core.storage.influxdb.connection import instant, span
from monitor_core.storage.timeseries import TIER_MS, Tier

SAMPLES, ANOMALIES = "system_metrics", "anomalies"
RAW = "raw"


@dataclass(frozen=True, slots=True)
class Question:
    """A Flux text and what is bound to its free names."""

    text: str
    params: dict[str, Any]


def samples(bucket: str, fields: Sequence[str], start: int, stop: int, hosts: Sequence[str] | None) -> Question:
    """Points of these hosts (None: all) as they are, in [start, stop)."""
    params, which = _hosts(hosts)
    text = f"{_source(SAMPLES, fields, which)} |> {_keep('_time', '_value', '_field', 'host')}"
    return Question(text, _range(bucket, start, stop) | params)


def windows(
    bucket: str, wanted: Mapping[str, Sequence[str]], start: int, stop: int, every: int, host: str | None
) -> Question:
    """One yield a function of `wanted`: that function of its fields for each window of `every` ms, labelled with the
    window's start. The function RAW gives the points themselves."""
    params, which = _hosts(None if host is None else [host])
    pipelines = []
    for function, fields in wanted.items():
        window = f' |> aggregateWindow(every: every, fn: {function}, createEmpty: false, timeSrc: "_start")'
        kept = _keep("_time", "_value", "_field", "host")
        step = "" if function == RAW else window
        pipelines.append(f'{_source(SAMPLES, fields, which)}{step} |> {kept} |> yield(name: "{function}")')
    return Question("\n".join(pipelines), _range(bucket, start, stop) | params | {"every": span(every)})


def counts(bucket: str, fields: Sequence[str], start: int, stop: int, host: str | None, function: str) -> Question:
    """`count` or `sum` of each field of a host (None: of each host)."""
    params, which = _hosts(None if host is None else [host])
    text = f"{_source(SAMPLES, fields, which)} |> {function}() |> {_keep('_value', '_field', 'host')}"
    return Question(text, _range(bucket, start, stop) | params)


def band_and_samples(
    minutes: str, bands: Sequence[str], bucket: str, fields: Sequence[str], start: int, stop: int, host: str, most: int
) -> Question:
    """What a raw chart needs, in one request: the expected range of every minute that [start, stop) touches, and of
    each field the first `most` points."""
    params, which = _hosts([host])
    kept = _keep("_time", "_value", "_field", "host")
    band = f'{_source(SAMPLES, bands, which, "minutes", "begin")} |> {kept} |> yield(name: "band")'
    points = f'{_source(SAMPLES, fields, which)} |> limit(n: most) |> {kept} |> yield(name: "samples")'
    begin = instant(start - start % TIER_MS[Tier.MINUTE])
    bound = _range(bucket, start, stop) | params | {"minutes": minutes, "begin": begin, "most": most}
    return Question(f"{band}\n{points}", bound)


def newest(bucket: str, fields: Sequence[str], start: int, stop: int) -> Question:
    """The last point of each field of each host."""
    text = f"{_source(SAMPLES, fields, '')} |> last() |> {_keep('_time', '_value', '_field', 'host')}"
    return Question(text, _range(bucket, start, stop))


def first(bucket: str, fields: Sequence[str], start: int, stop: int) -> Question:
    """The first point of each field of each host."""
    text = f"{_source(SAMPLES, fields, '')} |> first() |> {_keep('_time', '_value', '_field', 'host')}"
    return Question(text, _range(bucket, start, stop))


def anomalies(bucket: str, start: int, stop: int, host: str | None, limit: int) -> Question:
    """The anomaly log, newest first, one row a point. They are rare, so they may be pivoted on the server."""
    params, which = _hosts(None if host is None else [host])
    text = (
        f"{_source(ANOMALIES, [], which)}"
        ' |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")'
        ' |> drop(columns: ["_start", "_stop", "_measurement"])'
        ' |> group() |> sort(columns: ["_time"], desc: true) |> limit(n: most)'
    )
    return Question(text, _range(bucket, start, stop) | params | {"most": limit})


def delete_predicate(measurement: str, host: str) -> str:
    """What the delete API calls a host's points."""
    quoted = host.replace("\\", "\\\\").replace('"', '\\"')
    return f'_measurement="{measurement}" AND host="{quoted}"'


def _source(measurement: str, fields: Sequence[str], which: str, bucket: str = "bucket", start: str = "start") -> str:
    tests = [f'r._measurement == "{measurement}"']
    if fields:
        tests.append(_any(f'r._field == "{field}"' for field in fields))
    if which:
        tests.append(which)
    return f"from(bucket: {bucket}) |> range(start: {start}, stop: stop) |> filter(fn: (r) => {' and '.join(tests)})"


def _hosts(hosts: Sequence[str] | None) -> tuple[dict[str, str], str]:
    """(bound names, filter); the points without a host, as the original wrote them, belong to `default`."""
    if hosts is None:
        return {}, ""
    params = {f"host{i}": host for i, host in enumerate(hosts)}
    tests = [f"r.host == {name}" for name in params]
    if DEFAULT_HOST in hosts:
        tests.append("not exists r.host")
    return params, _any(tests)


def _any(tests: Any) -> str:
    joined = " or ".join(tests)
    return f"({joined})"


def _range(bucket: str, start: int, stop: int) -> dict[str, Any]:
    return {"bucket": bucket, "start": instant(start), "stop": instant(stop)}


def _keep(*columns: str) -> str:
    names = ", ".join(f'"{column}"' for column in columns)
    return f"keep(columns: [{names}])"
