"""SqliteStore: the embedded time-series store, a small log-structured tree in one SQLite file.

`write` appends a frame to the head (one commit); `maintain` moves the head into compressed chunks per host and hour
and computes the rollups of those hours. Readers see chunks and head as one, whatever moment they come at.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np

from monitor_core.frame import FloatArray, Frame, IntArray
from monitor_core.metrics import METRICS
from monitor_core.scores import Scores, empty_scores
from monitor_core.storage import rollups
from monitor_core.storage.answers import no_raw, raw_series, rollup_of, series_of, spread, with_band
from monitor_core.storage.head import HeadPart, split_hours
from monitor_core.storage.rollups import HOUR_MS, Raw, Rollup
from monitor_core.storage.timeseries import (
    TIER_MS,
    Anomaly,
    Kept,
    RefusedSample,
    Series,
    StoreHealth,
    StoreUnavailable,
    Tier,
)

DAY_MS = 24 * HOUR_MS
SCHEMA_VERSION = 1
HEAD_AGE_MS = 20 * 60_000
HEAD_ROWS = 400_000
HEAD_PARTS = 1_000
HOURS_A_COMMIT = 200
RAW_HOURS = 12
FLEET_BLOBS = 3_000
SCAN_HOSTS = 50
_M = len(METRICS)


class SqliteStore:
    """Owner of `path`; nothing else may write to it. Retention per tier in days."""

    def __init__(
        self,
        path: Path,
        raw_days: float = 7,
        minute_days: float = 90,
        half_hour_days: float = 730,
        anomaly_days: float = 365,
    ) -> None:
        self._path = path
        self._days = {"chunk": raw_days, "minute": minute_days, "half_hour": half_hour_days, "anomaly": anomaly_days}
        self._local = threading.local()
        self._writing = threading.Lock()
        self._view = threading.Lock()
        self._head: list[HeadPart] = []
        self._hosts: dict[str, int] = {}
        self._newest: dict[str, tuple[int, FloatArray]] = {}
        self._kept: tuple[Kept, ...] = ()
        self._kept_at = 0
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600, exist_ok=True)
        with _faults(path):
            self._writer = self._open()
            self._load()

    def write(self, frame: Frame, scores: Scores) -> Sequence[RefusedSample]:
        if not len(frame):
            return ()
        with self._writing, _faults(self._path):
            ids = self._host_ids(frame.hosts)
            raw = Raw(frame.time, frame.values, scores.score, scores.anomaly, scores.expected_low, scores.expected_high)
            draft = HeadPart(0, ids[frame.code], raw)
            with self._writer as db:
                seq = db.execute("INSERT INTO head (body) VALUES (?)", (draft.to_bytes(),)).lastrowid
            with self._view:
                self._head = [*self._head, HeadPart(int(seq or 0), draft.host, raw)]
            self._remember(frame)
        return ()

    def write_anomalies(self, anomalies: Sequence[Anomaly]) -> Sequence[RefusedSample]:
        rows = [(anomaly.host, anomaly.time, msgspec.msgpack.encode(anomaly)) for anomaly in anomalies]
        with self._writing, _faults(self._path), self._writer as db:
            db.executemany("INSERT OR REPLACE INTO anomaly VALUES (?, ?, ?)", rows)
        return ()

    def put_rollup(self, series: Series) -> None:
        if not len(series.time):
            return
        span = HOUR_MS if series.tier is Tier.MINUTE else DAY_MS
        whole, numbers = rollup_of(series), series.time // span
        with self._writing, _faults(self._path):
            host = int(self._host_ids([series.host])[0])
            with self._writer as db:
                for number in np.unique(numbers).tolist():
                    replace_buckets(db, series.tier, host << 32 | number, whole.take(numbers == number))

    def forget(self, host: str) -> None:
        with self._writing, _faults(self._path):
            number = self._hosts.get(host)
            if number is None:
                return
            self._compact()
            with self._writer as db, self._view:
                low, high = number << 32, (number + 1) << 32
                db.execute("DELETE FROM minute WHERE key >= ? AND key < ?", (low, high))
                db.execute("DELETE FROM half_hour WHERE key >= ? AND key < ?", (low, high))
                db.execute("DELETE FROM chunk WHERE key & 4294967295 = ?", (number,))
                db.execute("DELETE FROM anomaly WHERE host = ?", (host,))
                self._newest.pop(host, None)

    def maintain(self, now: int) -> None:
        head = self._head
        rows = sum(len(part.host) for part in head)
        oldest = int(head[0].raw.time.min()) if head else now
        due = rows >= HEAD_ROWS or len(head) >= HEAD_PARTS or now - oldest >= HEAD_AGE_MS
        with self._writing, _faults(self._path):
            if head and due:
                self._compact()
            self._expire(now)

    def close(self) -> None:
        with self._writing:
            self._writer.close()

    def series(self, host: str, start: int, stop: int, max_points: int) -> Series:
        number = self._hosts.get(host)
        tier, width = self._tier(start, stop, max_points)
        if number is None:
            return series_of(host, rollups.empty(_M), tier, width)
        with self._read() as (db, head):
            if width == 0:
                raw = self._raw(db, head, number, start, stop)
                band = self._rollup(db, head, number, start, stop, Tier.MINUTE)
                if len(raw.time) <= max_points:
                    return raw_series(host, raw, band)
                width = -(-(stop - start) // max_points)
                found = with_band(rollups.roll_up(raw, width), band)
                return series_of(host, found, Tier.RAW, width)
            found = self._rollup(db, head, number, start, stop, tier)
        wide = rollups.combine(found, width) if width > TIER_MS[tier] else found
        return series_of(host, wide, tier, width)

    def fleet(self, start: int, stop: int, max_points: int) -> tuple[IntArray, FloatArray]:
        hours = (stop - start) / HOUR_MS
        fine = len(self._hosts) * hours <= FLEET_BLOBS
        tier = Tier.MINUTE if fine else Tier.HALF_HOUR
        step = TIER_MS[tier]
        width = max(step, -(-(stop - start) // max_points // step) * step)
        with self._read() as (db, head):
            parts = [self._rollup(db, head, number, start, stop, tier) for number in self._hosts.values()]
        means = [rollups.combine(part, width) if width > step else part for part in parts if len(part.start)]
        return spread(means)

    def latest(self, since: int) -> Frame:
        with self._view:
            found = {host: newest for host, newest in self._newest.items() if newest[0] >= since}
        hosts = tuple(found)
        times = np.array([time for time, _ in found.values()], dtype=np.int64)
        values = np.array([row for _, row in found.values()], dtype=np.float64).reshape(-1, _M)
        return Frame(times, hosts, np.arange(len(hosts), dtype=np.int32), values, np.zeros(len(hosts), np.bool_))

    def hosts(self) -> Sequence[str]:
        return list(self._hosts)

    def scan(self, start: int, stop: int, hosts: Sequence[str] | None = None) -> Iterator[tuple[Frame, Scores]]:
        chosen = [host for host in (hosts or list(self._hosts)) if host in self._hosts]
        for first in range(0, len(chosen), SCAN_HOSTS):
            group = chosen[first : first + SCAN_HOSTS]
            for begin in range(start - start % HOUR_MS, stop, HOUR_MS):
                part = self._scan_hour(group, max(start, begin), min(stop, begin + HOUR_MS))
                if part is not None:
                    yield part

    def anomalies(self, start: int, stop: int, host: str | None = None, limit: int = 10_000) -> list[Anomaly]:
        query = (
            "SELECT body FROM anomaly WHERE time >= ? AND time < ? AND (? IS NULL OR host = ?)"
            " ORDER BY time DESC, host LIMIT ?"
        )
        with self._read() as (db, _):
            rows = db.execute(query, (start, stop, host, host, limit)).fetchall()
        return [msgspec.msgpack.decode(row[0], type=Anomaly) for row in rows]

    def health(self) -> StoreHealth:
        name = f"SQLite {sqlite3.sqlite_version}"
        try:
            with self._read() as (db, _):
                db.execute("SELECT count(*) FROM host").fetchone()
        except StoreUnavailable as error:
            return StoreHealth(False, name, str(error))
        return StoreHealth(True, name, None, self._kept)

    def _open(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, check_same_thread=False, timeout=5)
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        db.execute("PRAGMA wal_autocheckpoint=2000")
        db.execute(f"PRAGMA journal_size_limit={64 << 20}")
        found = db.execute("PRAGMA user_version").fetchone()[0]
        if found > SCHEMA_VERSION:
            raise StoreUnavailable(f"{self._path.name} was written by a newer version (schema {found})")
        db.executescript((Path(__file__).parent / "timeseries_schema.sql").read_text())
        db.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        return db

    def _load(self) -> None:
        db = self._writer
        self._hosts = dict(db.execute("SELECT name, id FROM host").fetchall())
        self._head = [HeadPart.from_bytes(seq, body) for seq, body in db.execute("SELECT seq, body FROM head")]
        names = {number: name for name, number in self._hosts.items()}
        query = "SELECT key & 4294967295 AS host, max(key >> 32) FROM chunk GROUP BY host"
        for number, hour in db.execute(query).fetchall():
            body = db.execute("SELECT body FROM chunk WHERE key = ?", (hour << 32 | number,)).fetchone()[0]
            raw = Raw.from_bytes(body)
            self._newest[names[number]] = (int(raw.time[-1]), raw.values[-1])
        for part in self._head:
            for i in np.argsort(part.raw.time, kind="stable").tolist():
                self._keep_newest(names[int(part.host[i])], int(part.raw.time[i]), part.raw.values[i])
        self._measure(0)

    def _remember(self, frame: Frame) -> None:
        order = np.argsort(frame.time, kind="stable")
        last = {int(frame.code[i]): i for i in order.tolist()}
        with self._view:
            for code, i in last.items():
                self._keep_newest(frame.hosts[code], int(frame.time[i]), frame.values[i])

    def _keep_newest(self, host: str, time: int, values: FloatArray) -> None:
        known = self._newest.get(host)
        if known is None or time >= known[0]:
            self._newest[host] = (time, values)

    def _host_ids(self, names: Sequence[str]) -> np.ndarray:
        fresh = [name for name in names if name not in self._hosts]
        if fresh:
            with self._writer as db:
                db.executemany("INSERT INTO host (name) VALUES (?)", [(name,) for name in fresh])
            self._hosts = dict(self._writer.execute("SELECT name, id FROM host").fetchall())
        return np.array([self._hosts[name] for name in names], dtype=np.int32)

    @contextmanager
    def _read(self) -> Iterator[tuple[sqlite3.Connection, list[HeadPart]]]:
        """A read-only connection of this thread and the head as they were at one moment."""
        with _faults(self._path):
            db = getattr(self._local, "connection", None)
            if db is None:
                uri = f"{self._path.resolve().as_uri()}?mode=ro"
                db = sqlite3.connect(uri, uri=True, timeout=5, isolation_level=None)
                self._local.connection = db
            with self._view:
                db.execute("BEGIN")
                db.execute("SELECT 1 FROM host LIMIT 1").fetchone()
                head = self._head
            try:
                yield db, head
            finally:
                db.rollback()

    def _tier(self, start: int, stop: int, max_points: int) -> tuple[Tier, int]:
        """The finest tier that has so far back and is not too much to read, and the width of a bucket (0: raw)."""
        width = (stop - start) / max_points
        is_short = stop - start <= RAW_HOURS * HOUR_MS and width < TIER_MS[Tier.MINUTE]
        if is_short and not self._is_gone("chunk", start):
            return Tier.RAW, 0
        tier = Tier.HALF_HOUR if width >= TIER_MS[Tier.HALF_HOUR] or self._is_gone("minute", start) else Tier.MINUTE
        step = TIER_MS[tier]
        return tier, max(1, -(-int(np.ceil(width)) // step)) * step

    def _is_gone(self, table: str, start: int) -> bool:
        newest = max((time for time, _ in self._newest.values()), default=0)
        return max(newest, self._kept_at) - start > self._days[table] * DAY_MS

    def _raw(self, db: sqlite3.Connection, head: list[HeadPart], host: int, start: int, stop: int) -> Raw:
        keys = [hour << 32 | host for hour in range(start // HOUR_MS, -(-stop // HOUR_MS))]
        marks = ", ".join("?" * len(keys))
        query = f"SELECT body FROM chunk WHERE key IN ({marks})"  # noqa: S608 - only question marks
        parts = [Raw.from_bytes(row[0]) for row in db.execute(query, keys)]
        parts += [part.of(host) for part in head]
        if not any(len(part.time) for part in parts):
            return no_raw()
        return rollups.merge(parts).between(start, stop)

    def _rollup(
        self, db: sqlite3.Connection, head: list[HeadPart], host: int, start: int, stop: int, tier: Tier
    ) -> Rollup:
        """Kept buckets, those of hours that the head touches computed anew from all raw samples."""
        span = HOUR_MS if tier is Tier.MINUTE else DAY_MS
        low, high = host << 32 | start // span, host << 32 | -(-stop // span)
        query = f"SELECT body FROM {tier} WHERE key >= ? AND key < ?"  # noqa: S608 - a tier's name
        parts = [Rollup.from_bytes(row[0]) for row in db.execute(query, (low, high))]
        kept = rollups.concat(parts) if parts else rollups.empty(_M)
        touched = [part.of(host).time // HOUR_MS for part in head]
        hours = np.unique(np.concatenate(touched)) if touched else np.zeros(0, np.int64)
        for hour in hours[(hours >= start // HOUR_MS) & (hours * HOUR_MS < stop)].tolist():
            raw = self._raw(db, head, host, hour * HOUR_MS, (hour + 1) * HOUR_MS)
            kept = rollups.replace_buckets(kept, rollups.roll_up(raw, TIER_MS[tier]))
        width = TIER_MS[tier]
        return kept.take((kept.start >= start - start % width) & (kept.start < stop))

    def _scan_hour(self, hosts: Sequence[str], start: int, stop: int) -> tuple[Frame, Scores] | None:
        with self._read() as (db, head):
            parts = [self._raw(db, head, self._hosts[host], start, stop) for host in hosts]
        sizes = [len(part.time) for part in parts]
        if not sum(sizes):
            return None
        code = np.repeat(np.arange(len(hosts), dtype=np.int32), sizes)
        time = np.concatenate([part.time for part in parts])
        order = np.argsort(time, kind="stable")
        values = np.concatenate([part.values for part in parts])[order]
        scores = empty_scores(len(time), _M)
        scores.score[:] = np.concatenate([part.score for part in parts])[order]
        scores.anomaly[:] = np.concatenate([part.anomaly for part in parts])[order]
        flags = np.zeros(len(hosts), np.bool_)
        return Frame(time[order], tuple(hosts), code[order], values, flags), scores

    def _compact(self) -> None:
        """Head → chunks and rollups, a few hundred host-hours a commit; the head goes with the last one."""
        head = self._head
        hours = split_hours(head, HOUR_MS)
        for first in range(0, len(hours), HOURS_A_COMMIT):
            rows = [self._host_hour(*item) for item in hours[first : first + HOURS_A_COMMIT]]
            with self._writer as db:
                db.executemany("INSERT OR REPLACE INTO chunk VALUES (?, ?, ?)", [row[0] for row in rows])
                db.executemany("INSERT OR REPLACE INTO minute VALUES (?, ?)", [row[1] for row in rows])
                # after each other: two hours of one day change the same row
                for key, fresh in (row[2] for row in rows):
                    replace_buckets(db, Tier.HALF_HOUR, key, fresh)
        with self._view, self._writer as db:
            if head:
                db.execute("DELETE FROM head WHERE seq <= ?", (head[-1].seq,))
                self._head = self._head[len(head) :]

    def _host_hour(
        self, host: int, hour: int, written: Raw
    ) -> tuple[tuple[int, int, bytes], tuple[int, bytes], tuple[int, Rollup]]:
        """(chunk row, minute row, half-hour buckets) of one host-hour with what was written to it."""
        db = self._writer
        chunk_key, minute_key = hour << 32 | host, host << 32 | hour
        old = db.execute("SELECT body FROM chunk WHERE key = ?", (chunk_key,)).fetchone()
        before = db.execute("SELECT body FROM minute WHERE key = ?", (minute_key,)).fetchone()
        raw = rollups.merge([*([Raw.from_bytes(old[0])] if old else []), written])
        minutes = rollups.roll_up(raw, TIER_MS[Tier.MINUTE])
        halves = rollups.roll_up(raw, TIER_MS[Tier.HALF_HOUR])
        if before:
            minutes = rollups.replace_buckets(Rollup.from_bytes(before[0]), minutes)
        day = host << 32 | hour // 24
        return (chunk_key, len(raw.time), raw.to_bytes()), (minute_key, minutes.to_bytes()), (day, halves)

    def _expire(self, now: int) -> None:
        if now - self._kept_at < 60_000:
            return
        floors = {name: now - int(days * DAY_MS) for name, days in self._days.items()}
        with self._writer as db:
            db.execute("DELETE FROM chunk WHERE key < ?", (floors["chunk"] // HOUR_MS << 32,))
            db.execute("DELETE FROM anomaly WHERE time < ?", (floors["anomaly"],))
            for number in self._hosts.values():
                low = number << 32
                minute, half = low | floors["minute"] // HOUR_MS, low | floors["half_hour"] // DAY_MS
                db.execute("DELETE FROM minute WHERE key >= ? AND key < ?", (low, minute))
                db.execute("DELETE FROM half_hour WHERE key >= ? AND key < ?", (low, half))
        self._measure(now)

    def _measure(self, now: int) -> None:
        names = {"chunk": "every sample", "minute": "per minute", "half_hour": "per 30 min", "anomaly": "anomalies"}
        kept = []
        for table, label in names.items():
            count = "coalesce(sum(samples), 0)" if table == "chunk" else "count(*)"
            query = f"SELECT {count}, coalesce(sum(length(body)), 0) FROM {table}"  # noqa: S608 - our own names
            rows, size = self._writer.execute(query).fetchone()
            # a row of a rollup is an hour or a day of a host: no number that anybody would ask for
            shown = rows if table in ("chunk", "anomaly") else None
            kept.append(Kept(label, shown, size, self._days[table]))
        self._kept, self._kept_at = tuple(kept), now


def replace_buckets(db: sqlite3.Connection, tier: Tier, key: int, fresh: Rollup) -> None:
    """Put these buckets into the row they belong to."""
    before = db.execute(f"SELECT body FROM {tier} WHERE key = ?", (key,)).fetchone()  # noqa: S608 - a tier's name
    whole = rollups.replace_buckets(Rollup.from_bytes(before[0]), fresh) if before else fresh
    db.execute(f"INSERT OR REPLACE INTO {tier} VALUES (?, ?)", (key, whole.to_bytes()))  # noqa: S608 - as above


@contextmanager
def _faults(path: Path) -> Iterator[None]:
    """SQLite's errors as ours, naming the file."""
    try:
        yield
    except (sqlite3.Error, msgspec.MsgspecError) as error:
        raise StoreUnavailable(f"{path.name}: {error}") from error
