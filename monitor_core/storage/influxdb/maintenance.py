"""Maintenance: rolls up what is due, a minute or a half hour after it is over, and measures what is kept.

A bucket is always computed by the server from all raw samples of it, never from what was there before, so late,
overwritten and replayed samples give the same rollup as if they had come in time.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from monitor_core.metrics import METRICS
from monitor_core.storage import rollups
from monitor_core.storage.influxdb import flux, rollup_points
from monitor_core.storage.influxdb.connection import Connection
from monitor_core.storage.influxdb.line_protocol import Encoder
from monitor_core.storage.influxdb.pending import HALF_HOUR_MS, MINUTE_MS, Part, Pending
from monitor_core.storage.influxdb.reading import Buckets, Reader, mean_band
from monitor_core.storage.influxdb.sending import send
from monitor_core.storage.influxdb.tables import ONLY
from monitor_core.storage.rollups import Rollup
from monitor_core.storage.timeseries import TIER_MS, Kept, Tier

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
FEW_HOSTS = 20
MEASURE_MS = 600_000
_M = len(METRICS)


class Maintenance:
    """`run` is called regularly; `fresh` also by reads of what is due."""

    def __init__(
        self,
        connection: Connection,
        reader: Reader,
        buckets: Buckets,
        pending: Pending,
        days: Mapping[str, float],
    ) -> None:
        self._connection, self._reader, self._buckets, self._pending = connection, reader, buckets, pending
        self._days: dict[str, float | None] = dict(days)
        self._encoder = Encoder(flux.SAMPLES, rollup_points.FIELDS)
        self.kept: tuple[Kept, ...] = ()
        self.now = 0
        self._measured_at = 0

    def keep(self, days: Mapping[str, float | None]) -> None:
        """How long the buckets really keep their points."""
        self._days = dict(days)

    def run(self, now: int) -> None:
        """Roll up what is over. Raises StoreUnavailable; then it is still due."""
        self.now = now
        parts = self._pending.closed(now)
        if parts:
            self._minutes(parts)
            self._pending.remove(parts)
        halves = self._pending.closed_half_hours(now)
        if halves:
            self._half_hours(halves)
            self._pending.remove_half_hours(halves)
        if now - self._measured_at >= MEASURE_MS:
            self._measure(now)
            self._measured_at = now

    def fresh(self, host: str | None, start: int, stop: int, tier: Tier) -> dict[str, Rollup]:
        """Buckets of [start, stop) computed now, per host, with the expected range as far as it is known."""
        width = TIER_MS[tier]
        found = self._reader.windows(host, start, stop, width)
        bands = self._reader.bands(host, start, stop, width) if tier is Tier.HALF_HOUR else {}
        for name, rollup in found.items():
            waiting = mean_band(*self._pending.band(name), width)
            band = rollups.replace_buckets(bands.get(name, rollups.empty(_M)), waiting)
            found[name] = _with_band(rollup, band)
        return found

    def _minutes(self, parts: list[Part]) -> None:
        """Hour by hour: the minutes that the parts touch, of few hosts one by one, of many all at once."""
        touched: dict[int, set[str]] = {}
        span: dict[int, tuple[int, int]] = {}
        for part in parts:
            for hour in np.unique(part.time // HOUR_MS).tolist():
                rows = part.time // HOUR_MS == hour
                low, high = span.get(hour, (1 << 62, 0))
                times = part.time[rows]
                span[hour] = (min(low, int(times.min())), max(high, int(times.max())))
                touched.setdefault(hour, set()).update(part.hosts[c] for c in np.unique(part.code[rows]).tolist())
        for hour in sorted(touched):
            low, high = span[hour]
            start, stop = low // MINUTE_MS * MINUTE_MS, high // MINUTE_MS * MINUTE_MS + MINUTE_MS
            self._roll_up(touched[hour], start, stop, Tier.MINUTE)

    def _half_hours(self, due: list[tuple[int, str]]) -> None:
        by_start: dict[int, set[str]] = {}
        for start, host in due:
            by_start.setdefault(start, set()).add(host)
        for start, hosts in by_start.items():
            self._roll_up(hosts, start, start + HALF_HOUR_MS, Tier.HALF_HOUR)

    def _roll_up(self, hosts: set[str], start: int, stop: int, tier: Tier) -> None:
        asked: list[str | None] = [None] if len(hosts) > FEW_HOSTS else sorted(hosts)  # type: ignore[assignment]  # one list
        for who in asked:
            found = self.fresh(who, start, stop, tier)
            self._write({name: rollup for name, rollup in found.items() if name in hosts}, tier)

    def _write(self, found: Mapping[str, Rollup], tier: Tier) -> None:
        if not found:
            return
        hosts = tuple(found)
        code = np.repeat(np.arange(len(hosts), dtype=np.int32), [len(rollup.start) for rollup in found.values()])
        time = np.concatenate([rollup.start for rollup in found.values()])
        table = np.concatenate([rollup_points.to_table(rollup) for rollup in found.values()])
        for blob in self._encoder.encode(time, code, hosts, table):
            send(self._connection, self._buckets.of(tier), blob)

    def _measure(self, now: int) -> None:
        """Rows of each tier, counted by the server."""
        since = now - int((self._days.get(self._buckets.half_hour) or 730) * DAY_MS)
        samples = self._sum(self._buckets.half_hour, rollup_points.COUNTS, "sum", since, now)
        minutes = self._sum(self._buckets.minute, ["score"], "count", since, now)
        halves = self._sum(self._buckets.half_hour, ["score"], "count", since, now)
        rows = {
            "every sample": (samples, self._buckets.raw), "per minute": (minutes, self._buckets.minute),
            "per 30 min": (halves, self._buckets.half_hour), "anomalies": (None, self._buckets.anomalies),
        }  # fmt: skip
        self.kept = tuple(Kept(name, n, None, self._days.get(bucket)) for name, (n, bucket) in rows.items())

    def _sum(self, bucket: str, fields: list[str] | tuple[str, ...], function: str, start: int, stop: int) -> int:
        question = flux.counts(bucket, fields, start, stop, None, function)
        found = self._reader.ask(question, [(ONLY, field) for field in fields])
        return int(np.nansum(np.nanmax(np.nan_to_num(found.values), axis=1))) if len(found.values) else 0


def _with_band(rollup: Rollup, band: Rollup) -> Rollup:
    low, high = np.full(rollup.minimum.shape, np.nan), np.full(rollup.minimum.shape, np.nan)
    if len(band.start) and len(rollup.start):
        place = np.searchsorted(band.start, rollup.start).clip(0, len(band.start) - 1)
        same = band.start[place] == rollup.start
        low[same], high[same] = band.low[place[same]], band.high[place[same]]
    return rollup_points.with_low_high(rollup, low, high)
