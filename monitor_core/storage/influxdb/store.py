"""InfluxStore: InfluxDB 2.7 behind the TimeSeriesStore contract.

Raw samples, rollups per minute and half hour and anomalies each have a bucket, so that each has its own retention.
Nothing is asked of the server before it is needed: a service whose database is away starts all the same.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from monitor_core.frame import FloatArray, Frame, IntArray, last_of_each_instant
from monitor_core.host_arrays import NEVER, HostArrays
from monitor_core.metrics import METRICS
from monitor_core.scores import Scores, empty_scores
from monitor_core.storage import rollups
from monitor_core.storage.answers import raw_series, rollup_of, series_of, spread_of_rows, with_band
from monitor_core.storage.influxdb import anomaly_points, buckets, flux
from monitor_core.storage.influxdb.connection import Connection
from monitor_core.storage.influxdb.line_protocol import Encoder
from monitor_core.storage.influxdb.maintenance import Maintenance
from monitor_core.storage.influxdb.pending import MINUTE_MS, Pending
from monitor_core.storage.influxdb.reading import RAW_FIELDS, Buckets, Reader, mean_band, raw_of
from monitor_core.storage.influxdb.sending import send
from monitor_core.storage.influxdb.tables import Wide
from monitor_core.storage.rollups import Rollup
from monitor_core.storage.timeseries import (
    TIER_MS,
    Anomaly,
    RefusedSample,
    Series,
    StoreHealth,
    StoreUnavailable,
    Tier,
)

DAY_MS, HOUR_MS = 86_400_000, 3_600_000
RAW_HOURS = 12
FLEET_BUCKETS = 3_000
SCAN_HOSTS = 50
LOOK_BACK_MS, LOOK_AHEAD_MS = DAY_MS, 40 * DAY_MS
_M = len(METRICS)


class Newest(HostArrays):
    """The instant of every host's newest sample that is stored."""

    COLUMNS: ClassVar = {"time": ((), np.int64, NEVER)}
    time: IntArray


class InfluxStore:
    """`folder` holds what is not rolled up yet. Retention per tier in days, for the buckets that this store makes."""

    def __init__(
        self,
        connection: Connection,
        bucket: str,
        folder: Path,
        raw_days: float = 30,
        minute_days: float = 90,
        half_hour_days: float = 730,
        anomaly_days: float = 365,
    ) -> None:
        self._connection = connection
        self._buckets = Buckets(bucket, f"{bucket}_minute", f"{bucket}_half_hour", f"{bucket}_anomalies")
        names = (self._buckets.raw, self._buckets.minute, self._buckets.half_hour, self._buckets.anomalies)
        days = (raw_days, minute_days, half_hour_days, anomaly_days)
        self._wanted = dict(zip(names, days, strict=True))
        self._kept_days: dict[str, float | None] = dict(self._wanted)
        self._reader = Reader(connection, self._buckets, self._be_ready)
        self._pending = Pending(folder / "influxdb.sqlite")
        self._maintenance = Maintenance(connection, self._reader, self._buckets, self._pending, self._wanted)
        self._encoder = Encoder(flux.SAMPLES, RAW_FIELDS)
        self._newest: Newest | None = None
        self._notices: tuple[str, ...] = ()
        self._name = "InfluxDB"
        self._ready = False
        self._lock = threading.Lock()

    def write(self, frame: Frame, scores: Scores) -> Sequence[RefusedSample]:
        if not len(frame):
            return ()
        self._be_ready()
        frame, scores = _last_of_each(frame, scores)
        newest = self._known_newest(frame)
        rows = newest.rows(frame.hosts)[frame.code]
        late = frame.time <= newest.time[rows]
        self._clear(frame, late)
        # 0 is only written where an older flag may stand: a field once written cannot be taken away again
        flags = np.where((scores.anomaly > 0) | late, scores.anomaly.astype(np.float64), np.nan)
        table = np.concatenate([frame.values, scores.score[:, None], flags[:, None]], axis=1)
        blobs = self._encoder.encode(frame.time, frame.code, frame.hosts, table)
        refused = [item for blob in blobs for item in self._send(self._buckets.raw, blob)]
        self._pending.add(frame, scores.expected_low, scores.expected_high)
        np.maximum.at(newest.time, rows, frame.time)
        return refused

    def write_anomalies(self, anomalies: Sequence[Anomaly]) -> Sequence[RefusedSample]:
        if not anomalies:
            return ()
        self._be_ready()
        blob = b"\n".join(anomaly_points.to_line(anomaly) for anomaly in anomalies)
        refused = self._send(self._buckets.anomalies, blob)
        # where the original kept them too, so that its queries go on working; what is too old for it is no loss
        self._send(self._buckets.raw, blob)
        return refused

    def put_rollup(self, series: Series) -> None:
        self._be_ready()
        self._maintenance.write({series.host: rollup_of(series)}, series.tier)

    def forget(self, host: str) -> None:
        self._be_ready()
        self._pending.forget(host)
        for bucket, measurement in [(name, flux.SAMPLES) for name in self._wanted] + [
            (self._buckets.raw, flux.ANOMALIES),
            (self._buckets.anomalies, flux.ANOMALIES),
        ]:
            self._connection.delete(bucket, flux.delete_predicate(measurement, host), 0, 2**42)
        row = self._newest.find(host) if self._newest else None
        if row is not None and self._newest:
            self._newest.reset(row)

    def maintain(self, now: int) -> None:
        self._be_ready()
        self._maintenance.run(now)

    def close(self) -> None:
        self._pending.close()
        self._connection.close()

    def series(self, host: str, start: int, stop: int, max_points: int) -> Series:
        tier, width = self._tier(start, stop, max_points)
        if tier is Tier.RAW:
            return self._raw_series(host, start, stop, max_points)
        found = self._rollup(tier, host, start, stop)
        wide = rollups.combine(found, width) if width > TIER_MS[tier] else found
        return series_of(host, wide, tier, width)

    def fleet(self, start: int, stop: int, max_points: int) -> tuple[IntArray, FloatArray]:
        hosts = len(self._newest.names) if self._newest else 0
        tier = Tier.MINUTE if hosts * (stop - start) <= FLEET_BUCKETS * HOUR_MS else Tier.HALF_HOUR
        step = TIER_MS[tier]
        width = max(step, -(-(stop - start) // max_points // step) * step)
        begin = start - start % step
        kept = self._reader.means(tier, begin, stop, width)
        due = self._due(tier, start, stop)
        if due is None:
            return spread_of_rows(kept.time, kept.values)
        fresh_from = due // width * width
        fresh = self._reader.raw_means(fresh_from, stop, width)
        old = kept.time < fresh_from
        time, values = [kept.time[old], fresh.time], [kept.values[old], fresh.values]
        return spread_of_rows(np.concatenate(time), np.concatenate(values))

    def latest(self, since: int) -> Frame:
        found = self._reader.newest(since, since + LOOK_BACK_MS + LOOK_AHEAD_MS)
        last = np.full(len(found.hosts), -1, dtype=np.int64)
        np.maximum.at(last, found.host, found.time)
        rows = np.flatnonzero(found.time == last[found.host])
        flags = np.zeros(len(found.hosts), np.bool_)
        return Frame(found.time[rows], found.hosts, found.host[rows].astype(np.int32), found.values[rows], flags)

    def hosts(self) -> Sequence[str]:
        return sorted(self._reader.hosts())

    def scan(self, start: int, stop: int, hosts: Sequence[str] | None = None) -> Iterator[tuple[Frame, Scores]]:
        begin = max(start, self._reaches_back(self._buckets.raw))
        groups = [None] if hosts is None else [hosts[i : i + SCAN_HOSTS] for i in range(0, len(hosts), SCAN_HOSTS)]
        # all hosts at once in stretches that hold about as much as an hour of fifty hosts
        many = len(self._reader.hosts()) // SCAN_HOSTS + 1 if hosts is None else 1
        stretch = max(HOUR_MS // many // MINUTE_MS, 1) * MINUTE_MS
        for group in groups:
            for first in range(begin - begin % stretch, stop, stretch):
                found = self._reader.raw(group, max(begin, first), min(stop, first + stretch))
                if len(found.time):
                    yield _frame_of(found)

    def anomalies(self, start: int, stop: int, host: str | None = None, limit: int = 10_000) -> list[Anomaly]:
        found: dict[tuple[int, str], Anomaly] = {}
        # what the original wrote is in the bucket of the samples; ours are in both and win
        for bucket in (self._buckets.raw, self._buckets.anomalies):
            question = flux.anomalies(bucket, start, stop, host, limit)
            log = anomaly_points.from_tables(self._reader.tables(question))
            found |= {(-anomaly.time, anomaly.host): anomaly for anomaly in log}
        return [found[key] for key in sorted(found)[:limit]]

    def health(self) -> StoreHealth:
        fault = self._connection.fault()
        try:
            self._be_ready()
        except StoreUnavailable as error:
            fault = str(error)
        return StoreHealth(fault is None, self._name, fault, self._maintenance.kept, self._notices)

    def _be_ready(self) -> None:
        """Make the buckets once; after that nothing is asked."""
        if self._ready:
            return
        with self._lock:
            if not self._ready:
                self._kept_days, notices = buckets.ensure(self._connection, self._wanted)
                self._notices = tuple(notices)
                self._name = f"InfluxDB {self._connection.version()}"
                self._maintenance.keep(self._kept_days)
                self._ready = True

    def _send(self, bucket: str, blob: bytes) -> list[RefusedSample]:
        try:
            return send(self._connection, bucket, blob)
        except StoreUnavailable as error:
            # a bucket may have been removed: look again before the next try
            self._ready = self._ready and not error.needs_operator
            raise

    def _known_newest(self, frame: Frame) -> Newest:
        if self._newest is None:
            self._maintenance.look_for_earlier()
            first = int(frame.time.min())
            found = self._reader.newest(first - LOOK_BACK_MS, first + LOOK_AHEAD_MS)
            newest = Newest()
            rows = newest.rows(found.hosts)[found.host]
            np.maximum.at(newest.time, rows, found.time)
            self._newest = newest
        return self._newest

    def _clear(self, frame: Frame, late: np.ndarray) -> None:
        """Remove points that are written again with fewer metrics: InfluxDB would keep the old ones beside the new."""
        less = np.flatnonzero(late & np.isnan(frame.values).any(axis=1))
        if not len(less):
            return
        part = frame.take(less)
        hosts = [frame.hosts[code] for code in np.unique(part.code).tolist()]
        stored = self._reader.raw(
            hosts if len(hosts) <= SCAN_HOSTS else None, int(part.time.min()), int(part.time.max()) + 1
        )
        names = [stored.hosts[code] for code in stored.host.tolist()]
        has = dict(zip(zip(names, stored.time.tolist(), strict=True), ~np.isnan(stored.values[:, :_M]), strict=True))
        for name, time, values in zip(part.host_names(), part.time.tolist(), part.values, strict=True):
            old = has.get((name, time))
            if old is not None and (old & np.isnan(values)).any():
                self._connection.delete(self._buckets.raw, flux.delete_predicate(flux.SAMPLES, name), time, time)

    def _tier(self, start: int, stop: int, max_points: int) -> tuple[Tier, int]:
        """The finest tier that reaches so far back and is not too much to read, and the width of a bucket."""
        width = (stop - start) / max_points
        is_short = stop - start <= RAW_HOURS * HOUR_MS and width < TIER_MS[Tier.MINUTE]
        if is_short and start >= self._reaches_back(self._buckets.raw):
            return Tier.RAW, 0
        has_minutes = start >= self._reaches_back(self._buckets.minute)
        tier = Tier.MINUTE if width < TIER_MS[Tier.HALF_HOUR] and has_minutes else Tier.HALF_HOUR
        step = TIER_MS[tier]
        return tier, max(1, -(-int(np.ceil(width)) // step)) * step

    def _reaches_back(self, bucket: str) -> int:
        """The oldest instant that a bucket still answers for."""
        days = self._kept_days.get(bucket)
        newest = int(self._newest.time.max(initial=0)) if self._newest else 0
        reference = max(newest, self._maintenance.now)
        return 0 if days is None else reference - int(days * DAY_MS)

    def _raw_series(self, host: str, start: int, stop: int, max_points: int) -> Series:
        band, samples = self._reader.band_and_samples(host, start, stop, max_points)
        time, low, high = self._pending.band(host, start - start % MINUTE_MS, stop)
        band = rollups.replace_buckets(band, mean_band(time, low, high, MINUTE_MS))
        if samples is not None:
            found = samples.of(host)
            return raw_series(host, raw_of(found, *_at(found.time, time, low, high)), band)
        width = -(-(stop - start) // max_points)
        found_windows = self._reader.windows(host, start, stop, width).get(host, rollups.empty(_M))
        return series_of(host, with_band(found_windows, band), Tier.RAW, width)

    def _rollup(self, tier: Tier, host: str, start: int, stop: int) -> Rollup:
        """Kept buckets, those that are due computed anew from raw samples."""
        width = TIER_MS[tier]
        begin = start - start % width
        kept = self._reader.rollup(tier, host, begin, stop)
        time = self._pending.band(host, begin, stop)[0]
        due = np.unique(time // width * width)
        if tier is Tier.HALF_HOUR:
            due = np.union1d(due, np.array(self._pending.half_hours_of(host, begin, stop), dtype=np.int64))
        due = due[(due >= begin) & (due < stop)]
        if not len(due):
            return kept
        fresh = self._maintenance.fresh(host, int(due[0]), int(due[-1]) + width, tier).get(host, rollups.empty(_M))
        return rollups.replace_buckets(kept, fresh.take(np.isin(fresh.start, due)))

    def _due(self, tier: Tier, start: int, stop: int) -> int | None:
        """The first instant in [start, stop) from which a rollup of some host may be missing."""
        due = [self._pending.first_sample(start, stop)]
        if tier is Tier.HALF_HOUR:
            due.append(self._pending.first_half_hour(start, stop))
        return min((at for at in due if at is not None), default=None)


def _last_of_each(frame: Frame, scores: Scores) -> tuple[Frame, Scores]:
    """Of the same host and instant the last sample: lines go by the fields they have, not in order of arrival."""
    if np.bincount(frame.code).max() == 1:
        return frame, scores
    rows = last_of_each_instant(frame)
    return (frame, scores) if len(rows) == len(frame) else (frame.take(rows), scores.take(rows))


def _at(wanted: IntArray, time: IntArray, low: FloatArray, high: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The expected range at the instants wanted, NaN where it is not known; of the same instant the last one wins."""
    out = np.full((2, len(wanted), _M), np.nan)
    if len(time) and len(wanted):
        place = np.searchsorted(wanted, time).clip(0, len(wanted) - 1)
        same = wanted[place] == time
        out[0, place[same]], out[1, place[same]] = low[same], high[same]
    return out[0], out[1]


def _frame_of(found: Wide) -> tuple[Frame, Scores]:
    raw = raw_of(found, *np.full((2, len(found.time), _M), np.nan))
    there = ~np.isnan(found.values[:, :_M]).all(axis=1)
    order = np.argsort(raw.time, kind="stable")
    scores = empty_scores(len(order), _M)
    scores.score[:], scores.anomaly[:] = raw.score[order], raw.anomaly[order]
    flags = np.zeros(len(found.hosts), np.bool_)
    code = found.host[there][order].astype(np.int32)
    return Frame(raw.time[order], found.hosts, code, raw.values[order], flags), scores
