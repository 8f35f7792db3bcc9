"""Reading: questions put to InfluxDB, answered as raw samples, as buckets computed from them, and as kept rollups."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from monitor_core.frame import FloatArray, IntArray
from monitor_core.metrics import METRICS
from monitor_core.storage import rollups
from monitor_core.storage.influxdb import flux, rollup_points
from monitor_core.storage.influxdb.connection import Connection
from monitor_core.storage.influxdb.tables import ONLY, Column, Wide, blocks, wide
from monitor_core.storage.rollups import Raw, Rollup
from monitor_core.storage.timeseries import Tier

SCORE, ANOMALY = "score", "anomaly"
RAW_FIELDS = (*METRICS, SCORE, ANOMALY)
FAR_MS = 1 << 42
_M = len(METRICS)
_FUNCTIONS = ("min", "mean", "max", "count")


@dataclass(frozen=True, slots=True)
class Buckets:
    """Where each tier is kept; `days` how long, None: for ever."""

    raw: str
    minute: str
    half_hour: str
    anomalies: str

    def of(self, tier: Tier) -> str:
        return {Tier.RAW: self.raw, Tier.MINUTE: self.minute, Tier.HALF_HOUR: self.half_hour}[tier]


class Reader:
    """All reads of samples and rollups; `be_ready` is called before each."""

    def __init__(self, connection: Connection, buckets: Buckets, be_ready: Callable[[], None]) -> None:
        self._connection, self._buckets, self._be_ready = connection, buckets, be_ready

    def tables(self, question: flux.Question) -> list[pa.Table]:
        self._be_ready()
        return blocks(self._connection.query(question.text, question.params))

    def ask(self, question: flux.Question, columns: Sequence[Column]) -> Wide:
        return wide(self.tables(question), columns)

    def raw(self, hosts: Sequence[str] | None, start: int, stop: int) -> Wide:
        """Samples as written: the columns of RAW_FIELDS."""
        question = flux.samples(self._buckets.raw, RAW_FIELDS, start, stop, hosts)
        return self.ask(question, [(ONLY, field) for field in RAW_FIELDS])

    def band_and_samples(self, host: str, start: int, stop: int, most: int) -> tuple[Rollup, Wide | None]:
        """(the expected range of each minute, the columns of RAW_FIELDS or None when there are more than `most`)."""
        bands, raw = rollup_points.BANDS, self._buckets.raw
        # one more than wanted shows that there are too many, without reading and sending all of them
        question = flux.band_and_samples(self._buckets.minute, bands, raw, RAW_FIELDS, start, stop, host, most + 1)
        tables = self.tables(question)
        band = wide(tables, [("band", field) for field in bands])
        samples = wide(tables, [("samples", field) for field in RAW_FIELDS])
        return _band_only(band, None), samples if len(samples.time) <= most else None

    def windows(self, host: str | None, start: int, stop: int, width: int) -> dict[str, Rollup]:
        """Buckets of `width` ms computed by the server from raw samples, per host; nothing is known of their band."""
        wanted = dict.fromkeys(_FUNCTIONS, METRICS) | {"max": (*METRICS, SCORE), flux.RAW: (ANOMALY,)}
        question = flux.windows(self._buckets.raw, wanted, start, stop, width, host)
        columns = [(function, key) for function in _FUNCTIONS for key in METRICS]
        found = self.ask(question, [*columns, ("max", SCORE), (flux.RAW, ANOMALY)])
        return {name: _bucketed(found.of(name), width) for name in found.hosts}

    def rollup(self, tier: Tier, host: str, start: int, stop: int) -> Rollup:
        """Kept buckets of one host that begin in [start, stop)."""
        question = flux.samples(self._buckets.of(tier), rollup_points.FIELDS, start, stop, [host])
        found = self.ask(question, [(ONLY, field) for field in rollup_points.FIELDS])
        return rollup_points.from_table(found.time, found.values) if len(found.time) else rollups.empty(_M)

    def bands(self, host: str | None, start: int, stop: int, width: int) -> dict[str, Rollup]:
        """The mean expected range over buckets of `width` ms, per host; all else is empty."""
        fields = rollup_points.BANDS
        question = flux.windows(self._buckets.minute, {"mean": fields}, start, stop, width, host)
        found = self.ask(question, [("mean", field) for field in fields])
        return {name: _band_only(found.of(name), width) for name in found.hosts}

    def means(self, tier: Tier, start: int, stop: int, width: int) -> Wide:
        """The mean of every metric per host and bucket of `width` ms, from a rollup."""
        fields = rollup_points.MEANS
        question = flux.windows(self._buckets.of(tier), {"mean": fields}, start, stop, width, None)
        found = self.ask(question, [("mean", field) for field in fields])
        return Wide(found.hosts, found.host, found.time // width * width, found.values)

    def raw_means(self, start: int, stop: int, width: int) -> Wide:
        """The same, from raw samples."""
        question = flux.windows(self._buckets.raw, {"mean": METRICS}, start, stop, width, None)
        found = self.ask(question, [("mean", key) for key in METRICS])
        return Wide(found.hosts, found.host, found.time // width * width, found.values)

    def hosts(self) -> set[str]:
        """Every host with a raw sample or a half hour."""
        raw = self.ask(flux.newest(self._buckets.raw, METRICS, 0, FAR_MS), [(ONLY, key) for key in METRICS])
        halves = self.ask(flux.newest(self._buckets.half_hour, [SCORE], 0, FAR_MS), [(ONLY, SCORE)])
        return {*raw.hosts, *halves.hosts}

    def extent(self) -> tuple[int, int] | None:
        """(first, last) instant of the raw samples of all hosts; None: there are none."""
        columns = [(ONLY, key) for key in METRICS]
        first = self.ask(flux.first(self._buckets.raw, METRICS, 0, FAR_MS), columns)
        last = self.ask(flux.newest(self._buckets.raw, METRICS, 0, FAR_MS), columns)
        return (int(first.time.min()), int(last.time.max())) if len(first.time) and len(last.time) else None

    def newest(self, start: int, stop: int) -> Wide:
        """The last value of every metric of every host, each at its own time."""
        question = flux.newest(self._buckets.raw, METRICS, start, stop)
        return self.ask(question, [(ONLY, key) for key in METRICS])


def raw_of(found: Wide, low: FloatArray, high: FloatArray) -> Raw:
    """Rows of one host as raw samples with this expected range."""
    values, score, anomaly = found.values[:, :_M], found.values[:, _M], found.values[:, _M + 1]
    there = ~np.isnan(values).all(axis=1)
    bits = np.nan_to_num(anomaly).astype(np.uint8)
    return Raw(found.time, values, np.nan_to_num(score), bits, low, high).take(np.flatnonzero(there))


def _bucketed(found: Wide, width: int) -> Rollup:
    """One host's windows as a rollup. The first window begins with the range asked for, so it is moved back."""
    table, flags = found.values[:, :-1], found.values[:, -1]
    is_window, is_flag = ~np.isnan(table).all(axis=1), np.flatnonzero(np.nan_to_num(flags) > 0)
    start, table = (found.time // width * width)[is_window], table[is_window]
    part = dict(zip(_FUNCTIONS, np.split(table[:, : 4 * _M], 4, axis=1), strict=True))
    anomalies = np.zeros((len(start), _M), dtype=np.int64)
    at = np.searchsorted(start, found.time[is_flag] // width * width)
    bits = (flags[is_flag].astype(np.int64)[:, None] >> np.arange(_M)) & 1
    np.add.at(anomalies, at, bits)
    count = np.nan_to_num(part["count"]).astype(np.int64)
    nothing = np.full((len(start), _M), np.nan)
    score = np.nan_to_num(table[:, 4 * _M])
    return Rollup(start, part["min"], part["mean"], part["max"], count, anomalies, nothing, nothing, score)


def _band_only(found: Wide, width: int | None) -> Rollup:
    start: IntArray = found.time if width is None else found.time // width * width
    none, zero = np.full((len(start), _M), np.nan), np.zeros((len(start), _M), dtype=np.int64)
    low, high = found.values[:, :_M], found.values[:, _M:]
    return Rollup(start, none, none, none, zero, zero, low, high, np.zeros(len(start)))


def mean_band(time: IntArray, low: FloatArray, high: FloatArray, width: int) -> Rollup:
    """The mean expected range per bucket of samples in any order; all else is empty."""
    order = np.argsort(time, kind="stable")
    none = np.full((len(time), _M), np.nan)
    flat = np.zeros(len(time))
    raw = Raw(time[order], none, flat, flat.astype(np.uint8), low[order], high[order])
    return rollups.roll_up(raw, width)
