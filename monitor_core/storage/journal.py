"""Journal: what was acknowledged and is not yet scored, stored and covered by a snapshot.

Three positions move through it: `scored` (decided upon), `stored` (in the time-series store) and the snapshot's.
A row lives until all three have passed it, so it is also the spool while the store is away.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from enum import StrEnum

from monitor_core.storage.writer import StateFile

REMOVE_AT_ONCE = 500


class EntryKind(StrEnum):
    """samples: score, store, decide. anomaly: posted by somebody, store only. asked: decide on a /predict, no more."""

    SAMPLES = "samples"
    ANOMALY = "anomaly"
    ASKED = "asked"


@dataclass(frozen=True, slots=True)
class Entry:
    """One acknowledged body; `scored` is what scoring and deciding made of it."""

    position: int
    kind: EntryKind
    arrived_at: int
    body: bytes
    scored: bytes | None = None


@dataclass(frozen=True, slots=True)
class Backlog:
    """What the store has not taken yet."""

    samples: int
    bytes: int
    oldest_arrived_at: int | None


class Journal:
    """Append-only rows in the state file."""

    def __init__(self, file: StateFile) -> None:
        self._file = file

    def append(self, kind: EntryKind, arrived_at: int, body: bytes, samples: int = 1) -> Future[int]:
        """The future gives the position once the row is on disk."""
        statement = "INSERT INTO journal (kind, arrived_at, samples, body) VALUES (?, ?, ?, ?)"
        row = (kind.value, arrived_at, samples, body)
        return self._file.submit(lambda db: int(db.execute(statement, row).lastrowid or 0))

    def after(self, position: int, limit: int, samples: int | None = None) -> list[Entry]:
        """Entries behind `position`, in order; no more than one beyond `samples` samples in all."""
        query = (
            "SELECT position, kind, arrived_at, body, scored, samples FROM journal WHERE position > ?"
            " ORDER BY position LIMIT ?"
        )
        found, seen = [], 0
        with self._file.read() as db:
            for row in db.execute(query, (position, limit)):
                found.append(_entry(row))
                seen += row[5]
                if samples is not None and seen >= samples:
                    break
        return found

    def backlog(self, stored: int) -> Backlog:
        query = (
            "SELECT coalesce(sum(samples), 0), coalesce(sum(length(body) + coalesce(length(scored), 0)), 0),"
            " min(arrived_at) FROM journal WHERE position > ?"
        )
        with self._file.read() as db:
            return Backlog(*db.execute(query, (stored,)).fetchone())

    def before(self, arrived_at: int) -> int:
        """The position behind which everything arrived at `arrived_at` or later; found by halves, as both ascend."""
        first = "SELECT position, arrived_at FROM journal WHERE position > ? ORDER BY position LIMIT 1"
        with self._file.read() as db:
            low, high = db.execute(
                "SELECT coalesce(min(position), 1) - 1, coalesce(max(position), 0) FROM journal"
            ).fetchone()
            while low < high:
                middle = (low + high) // 2
                row = db.execute(first, (middle,)).fetchone()
                if row is None or row[1] >= arrived_at:
                    high = middle
                else:
                    low = int(row[0])
        return int(low)

    def prefix(self, stored: int, size: int, through: int) -> tuple[int, int]:
        """(position, samples) of the shortest stretch behind `stored` that takes `size` bytes and more, or that ends
        at `through`."""
        query = (
            "SELECT position, samples, length(body) + coalesce(length(scored), 0) FROM journal"
            " WHERE position > ? AND position <= ? ORDER BY position"
        )
        position, samples, seen = stored, 0, 0
        with self._file.read() as db:
            for row in db.execute(query, (stored, through)):
                if seen >= size:
                    break
                position, samples, seen = row[0], samples + row[1], seen + row[2]
        return position, samples

    def last(self) -> int:
        with self._file.read() as db:
            return int(db.execute("SELECT coalesce(max(position), 0) FROM journal").fetchone()[0])

    def remove_through(self, position: int) -> None:
        """Forget rows that nobody needs any more, a few at a time: commits in between must not wait."""
        statement = "DELETE FROM journal WHERE position IN (SELECT position FROM journal WHERE position <= ? LIMIT ?)"
        while self._file.run(lambda db: db.execute(statement, (position, REMOVE_AT_ONCE)).rowcount) == REMOVE_AT_ONCE:
            pass


def keep_scored(db: sqlite3.Connection, rows: Iterable[tuple[int, bytes]]) -> None:
    """Lay what was decided beside each entry until it is stored."""
    db.executemany("UPDATE journal SET scored = ? WHERE position = ?", [(blob, position) for position, blob in rows])


def read_positions(db: sqlite3.Connection, names: Sequence[str]) -> dict[str, int]:
    """Named positions; one never set is 0."""
    rows = dict(db.execute("SELECT key, value FROM meta WHERE key LIKE 'position.%'").fetchall())
    return {name: int(rows.get(f"position.{name}", 0)) for name in names}


def write_position(db: sqlite3.Connection, name: str, position: int) -> None:
    db.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (f"position.{name}", str(position)))


def _entry(row: tuple[int, str, int, bytes, bytes | None, int]) -> Entry:
    return Entry(row[0], EntryKind(row[1]), row[2], row[3], row[4])
