"""Maintenance: rolls up what is due, a minute or a half hour after it is over, and measures what is kept.

A bucket is always computed by the server from all raw samples of it, never from what was there before, so late,
overwritten and replayed samples give the same rollup as if they had come in time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from monitor_core.frame import IntArray
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
EARLIER, EARLIER_HOURS = "earlier", 12
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
            self._roll_up(_minutes(parts), Tier.MINUTE)
            self._pending.remove(parts)
        halves = self._pending.closed_half_hours(now)
        if halves:
            self._roll_up(_by_host(halves), Tier.HALF_HOUR)
            self._pending.remove_half_hours(halves)
        self._earlier()
        if now - self._measured_at >= MEASURE_MS:
            self._measure(now)
            self._measured_at = now

    def fresh(self, host: str | None, start: int, stop: int, tier: Tier) -> dict[str, Rollup]:
        """Buckets of [start, stop) computed now, per host, with the expected range as far as it is known."""
        width = TIER_MS[tier]
        found = self._reader.windows(host, start, stop, width)
        bands = self._reader.bands(host, start, stop, width) if tier is Tier.HALF_HOUR else {}
        for name, rollup in found.items():
            waiting = mean_band(*self._pending.band(name, start, stop), width)
            band = rollups.replace_buckets(bands.get(name, rollups.empty(_M)), waiting)
            found[name] = _with_band(rollup, band)
        return found

    def look_for_earlier(self) -> None:
        """Before this store writes for the first time: what is in the bucket already has to be rolled up too."""
        if self._pending.meta(EARLIER) is None:
            found = self._reader.extent()
            first, last = found or (0, 0)
            self._pending.set_meta(EARLIER, f"{-(-last // HALF_HOUR_MS) * HALF_HOUR_MS} {first}")

    def _earlier(self) -> None:
        """Roll up what was there before, from the newest back, some hours at each call."""
        self.look_for_earlier()
        at, first = (int(part) for part in (self._pending.meta(EARLIER) or "0 0").split())
        for _ in range(EARLIER_HOURS):
            if at <= first:
                return
            start = max(at - HOUR_MS, first - first % HALF_HOUR_MS)
            for tier in (Tier.MINUTE, Tier.HALF_HOUR):
                self.write(self.fresh(None, start, at, tier), tier)
            at = start
            self._pending.set_meta(EARLIER, f"{at} {first}")

    def _roll_up(self, due: Mapping[str, IntArray], tier: Tier) -> None:
        """The due buckets of every host: a day of few hosts one by one, an hour of many all at once."""
        for day in _stretches(due, DAY_MS):
            for inside in [day] if len(day) <= FEW_HOSTS else _stretches(day, HOUR_MS):
                start = min(int(starts[0]) for starts in inside.values())
                stop = max(int(starts[-1]) for starts in inside.values()) + TIER_MS[tier]
                asked: list[str | None] = [None] if len(inside) > FEW_HOSTS else list(inside)
                for who in asked:
                    found = self.fresh(who, start, stop, tier)
                    # nothing but what is due: of its neighbours the raw samples may have expired
                    known = {host: rollup for host, rollup in found.items() if host in inside}
                    wanted = {host: rollup.take(np.isin(rollup.start, inside[host])) for host, rollup in known.items()}
                    self.write(wanted, tier)

    def write(self, found: Mapping[str, Rollup], tier: Tier) -> None:
        """Buckets per host, in the place of those that begin alike. Raises StoreUnavailable."""
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


def _stretches(due: Mapping[str, IntArray], width: int) -> Iterator[dict[str, IntArray]]:
    """What is due in each stretch of `width` ms in which anything is, in order of time."""
    for number in np.unique(np.concatenate([*due.values(), np.zeros(0, np.int64)]) // width).tolist():
        inside = {host: starts[starts // width == number] for host, starts in due.items()}
        yield {host: starts for host, starts in inside.items() if len(starts)}


def _minutes(parts: Sequence[Part]) -> dict[str, IntArray]:
    """host → the minutes that the parts touch, ascending."""
    found: dict[str, list[IntArray]] = {}
    for part in filter(lambda part: len(part.time), parts):  # none is left of one whose hosts were forgotten
        order = np.argsort(part.code, kind="stable")
        codes, first = np.unique(part.code[order], return_index=True)
        for code, times in zip(codes.tolist(), np.split(part.time[order], first[1:]), strict=True):
            found.setdefault(part.hosts[code], []).append(times)
    return {host: np.unique(np.concatenate(times) // MINUTE_MS * MINUTE_MS) for host, times in found.items()}


def _by_host(half_hours: Mapping[int, set[str]]) -> dict[str, IntArray]:
    found: dict[str, list[int]] = {}
    for start, hosts in half_hours.items():
        for host in hosts:
            found.setdefault(host, []).append(start)
    return {host: np.array(sorted(starts), dtype=np.int64) for host, starts in sorted(found.items())}


def _with_band(rollup: Rollup, band: Rollup) -> Rollup:
    low, high = np.full(rollup.minimum.shape, np.nan), np.full(rollup.minimum.shape, np.nan)
    if len(band.start) and len(rollup.start):
        place = np.searchsorted(band.start, rollup.start).clip(0, len(band.start) - 1)
        same = band.start[place] == rollup.start
        low[same], high[same] = band.low[place[same]], band.high[place[same]]
    return rollup_points.with_low_high(rollup, low, high)
