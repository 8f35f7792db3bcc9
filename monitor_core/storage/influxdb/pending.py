"""Pending: what was written to InfluxDB and is not in a rollup yet, kept in a small file of its own.

A minute is rolled up when it is over, a half hour likewise; until then, and over a restart, this says which ones are
due and which range was expected, since that is not kept with every raw sample.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from monitor_core.frame import BoolArray, FloatArray, Frame, IntArray
from monitor_core.metrics import METRICS
from monitor_core.storage.timeseries import TIER_MS, StoreUnavailable, Tier

MINUTE_MS, HALF_HOUR_MS = TIER_MS[Tier.MINUTE], TIER_MS[Tier.HALF_HOUR]
GRACE_MS = 5_000
_SCHEMA = """
CREATE TABLE IF NOT EXISTS part (seq INTEGER PRIMARY KEY AUTOINCREMENT, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS half_hour (
    start INTEGER NOT NULL, host TEXT NOT NULL, PRIMARY KEY (start, host)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""
_M = len(METRICS)
_NONE: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One written frame: when, whose, and what was expected ([n, metrics]); `first` and `last` instant of it."""

    seq: int
    hosts: tuple[str, ...]
    code: npt.NDArray[np.int32]
    time: IntArray
    low: FloatArray
    high: FloatArray
    first: int
    last: int

    def to_bytes(self) -> bytes:
        low, high = (np.ascontiguousarray(table, "<f4").tobytes() for table in (self.low, self.high))
        time, code = np.ascontiguousarray(self.time, "<i8").tobytes(), np.ascontiguousarray(self.code, "<i4").tobytes()
        return msgspec.msgpack.encode((METRICS, self.hosts, code, time, low, high))

    @staticmethod
    def from_bytes(seq: int, body: bytes) -> Part:
        kinds = tuple[tuple[str, ...], tuple[str, ...], bytes, bytes, bytes, bytes]
        metrics, hosts, code, time, low, high = msgspec.msgpack.decode(body, type=kinds)
        tables = [np.frombuffer(raw, "<f4").reshape(-1, len(metrics)).astype(np.float64) for raw in (low, high)]
        if metrics != METRICS:  # the catalogue has changed since: the range is lost, the minute is still due
            tables = [np.full((len(table), _M), np.nan) for table in tables]
        return _part(seq, hosts, np.frombuffer(code, "<i4"), np.frombuffer(time, "<i8"), tables[0], tables[1])


class Pending:
    """Owner of `path`. Half hours are (start ms, host)."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600, exist_ok=True)
        try:
            self._db = sqlite3.connect(path, check_same_thread=False, timeout=5)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.executescript(_SCHEMA)
            rows = self._db.execute("SELECT seq, body FROM part ORDER BY seq").fetchall()
            self.parts = [Part.from_bytes(seq, body) for seq, body in rows]
            self._half_hours: dict[int, set[str]] = {}
            for start, host in self._db.execute("SELECT start, host FROM half_hour").fetchall():
                self._half_hours.setdefault(start, set()).add(host)
        except (sqlite3.Error, msgspec.MsgspecError) as error:
            raise StoreUnavailable(f"{path.name}: {error}") from error

    def add(self, frame: Frame, low: FloatArray, high: FloatArray) -> None:
        """These samples are stored; their minutes and half hours are due."""
        draft = _part(0, frame.hosts, frame.code, frame.time, low, high)
        with self._lock, self._db as db:
            fresh = self._new_half_hours(frame)
            seq = db.execute("INSERT INTO part (body) VALUES (?)", (draft.to_bytes(),)).lastrowid
            db.executemany("INSERT OR IGNORE INTO half_hour VALUES (?, ?)", fresh)
            for start, host in fresh:
                self._half_hours.setdefault(start, set()).add(host)
            self.parts = [*self.parts, replace(draft, seq=int(seq or 0))]

    def _new_half_hours(self, frame: Frame) -> list[tuple[int, str]]:
        starts = np.unique(frame.time // HALF_HOUR_MS * HALF_HOUR_MS).tolist()
        if all(self._half_hours.get(start, _NONE).issuperset(frame.hosts) for start in starts):
            return []  # all of its hosts are due already: true for all ticks of a half hour but its first
        touched = [(at, frame.hosts[code]) for at, code in _distinct(frame.time, frame.code, HALF_HOUR_MS)]
        return [(at, host) for at, host in touched if host not in self._half_hours.get(at, _NONE)]

    def closed(self, now: int) -> list[Part]:
        """Parts all of whose minutes are over."""
        return [part for part in self.parts if part.last // MINUTE_MS < (now - GRACE_MS) // MINUTE_MS]

    def closed_half_hours(self, now: int) -> dict[int, set[str]]:
        """Half hours that are over and in which no minute is due; start → hosts."""
        with self._lock:
            over = sorted(at for at in self._half_hours if at + HALF_HOUR_MS + GRACE_MS <= now)
            due = self._with_minutes_due()
            return {at: set(self._half_hours[at]) for at in over if at not in due}

    def _with_minutes_due(self) -> set[int]:
        return {at for part in self.parts for at in np.unique(part.time // HALF_HOUR_MS * HALF_HOUR_MS).tolist()}

    def first_half_hour(self, start: int, stop: int) -> int | None:
        """The first one that is due and begins in [start, stop)."""
        with self._lock:
            return min((at for at in self._half_hours if start <= at < stop), default=None)

    def remove(self, parts: Sequence[Part]) -> None:
        """Their minutes are rolled up."""
        gone = {part.seq for part in parts}
        with self._lock, self._db as db:
            db.executemany("DELETE FROM part WHERE seq = ?", [(seq,) for seq in gone])
            self.parts = [part for part in self.parts if part.seq not in gone]

    def remove_half_hours(self, done: Mapping[int, set[str]]) -> None:
        """They are rolled up. One that got samples meanwhile stays due; one that somebody else removed is gone."""
        with self._lock, self._db as db:
            due = self._with_minutes_due()
            rows = [(start, host) for start, hosts in done.items() if start not in due for host in hosts]
            db.executemany("DELETE FROM half_hour WHERE start = ? AND host = ?", rows)
            for start, host in rows:
                self._half_hours.get(start, set()).discard(host)
            self._half_hours = {start: hosts for start, hosts in self._half_hours.items() if hosts}

    def forget(self, host: str) -> None:
        """Nothing of this host is due any more."""
        with self._lock, self._db as db:
            db.execute("DELETE FROM half_hour WHERE host = ?", (host,))
            left = {start: hosts - {host} for start, hosts in self._half_hours.items()}
            self._half_hours = {start: hosts for start, hosts in left.items() if hosts}
            self.parts = [_without(part, host) for part in self.parts]

    def band(self, host: str, start: int, stop: int) -> tuple[IntArray, FloatArray, FloatArray]:
        """(time, low, high) of one host's samples in [start, stop) that wait here, in order of writing."""
        found = []
        for part in self.parts:
            if host in part.hosts and part.last >= start and part.first < stop:
                rows = (part.code == part.hosts.index(host)) & (part.time >= start) & (part.time < stop)
                found.append((part.time[rows], part.low[rows], part.high[rows]))
        if not found:
            return np.zeros(0, np.int64), np.zeros((0, _M)), np.zeros((0, _M))
        time, low, high = (np.concatenate(column) for column in zip(*found, strict=True))
        return time, low, high

    def first_sample(self, start: int, stop: int) -> int | None:
        """The first instant in [start, stop) of a sample that waits here, of any host."""
        near = [part.time for part in self.parts if part.last >= start and part.first < stop]
        inside = [int(time.min()) for times in near if len(time := times[(times >= start) & (times < stop)])]
        return min(inside, default=None)

    def half_hours_of(self, host: str, start: int, stop: int) -> list[int]:
        """Those that are due for a host and begin in [start, stop)."""
        with self._lock:
            return sorted(at for at, names in self._half_hours.items() if start <= at < stop and host in names)

    def meta(self, key: str) -> str | None:
        with self._lock:
            row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return row[0] if row else None

    def set_meta(self, key: str, value: str) -> None:
        with self._lock, self._db as db:
            db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def close(self) -> None:
        with self._lock:
            self._db.close()


def _part(
    seq: int,
    hosts: tuple[str, ...],
    code: npt.NDArray[np.int32],
    time: IntArray,
    low: FloatArray,
    high: FloatArray,
) -> Part:
    return Part(seq, hosts, code, time, low, high, int(time.min(initial=1 << 62)), int(time.max(initial=0)))


def _distinct(time: IntArray, code: npt.NDArray[np.int32], width: int) -> list[tuple[int, int]]:
    start = time // width * width
    keys = np.unique((start // width << 24) | code)
    return [((key >> 24) * width, key & 0xFFFFFF) for key in keys.tolist()]


def _without(part: Part, host: str) -> Part:
    if host not in part.hosts:
        return part
    rows: BoolArray = part.code != part.hosts.index(host)
    return _part(part.seq, part.hosts, part.code[rows], part.time[rows], part.low[rows], part.high[rows])
