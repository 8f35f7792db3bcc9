"""State: incidents, the outbox, hosts, snapshots and the model list; every change of them in one transaction.

Implements what delivery needs of an outbox. The rules live elsewhere: this file only keeps what was decided.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import msgspec

from monitor_core.incidents import Incident, State
from monitor_core.labels import Label, Labelled
from monitor_core.notifications import DeliveryState, Event, Notification, notification_key
from monitor_core.storage.journal import keep_scored, write_position
from monitor_core.storage.timeseries import RefusedSample
from monitor_core.storage.writer import StateFile

_INCIDENT = msgspec.msgpack.Decoder(Incident)
_LABELLED = msgspec.msgpack.Decoder(Labelled)
COMMIT_SECONDS = 30.0
UNLABELLED = "none"
LABEL_CHOICES = (UNLABELLED, *Label)


@dataclass(frozen=True, slots=True)
class TimelineEvent:
    """One line of an incident's history."""

    incident_id: int
    at: int
    what: str
    detail: str


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """A notification still without a number."""

    channel: str
    event: Event
    incident: Incident
    created_at: int


@dataclass(frozen=True, slots=True)
class RefusedLine:
    """A sample that the store will never take: as it was sent, what the store said, when (ms UTC)."""

    sample: str
    reason: str
    at: int


@dataclass(frozen=True, slots=True)
class KnownHost:
    """A host that has sent something. Times ms UTC."""

    name: str
    simulated: bool
    first_seen: int
    first_sample: int


@dataclass(slots=True)
class Decided:
    """Everything that one step of the pipeline leaves behind, committed as a whole."""

    scored_position: int | None = None
    scored: list[tuple[int, bytes]] = field(default_factory=list)
    incidents: list[Incident] = field(default_factory=list)
    events: list[TimelineEvent] = field(default_factory=list)
    outbox: list[OutboxRow] = field(default_factory=list)
    hosts: list[KnownHost] = field(default_factory=list)
    snapshots: dict[str, bytes] = field(default_factory=dict)
    labels: list[Labelled] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class OutboxCount:
    """How a channel's messages stand; `sent_today` since the instant asked for."""

    waiting: int
    dead: int
    sent_today: int


class StateStore:
    """Reads and writes operational state."""

    def __init__(self, file: StateFile) -> None:
        self._file = file

    def commit(self, decided: Decided) -> None:
        """All of it or nothing."""
        self._file.run(lambda db: _write(db, decided))

    def open_incidents(self) -> list[Incident]:
        return self._incidents("state <> 'resolved' ORDER BY opened_at DESC", ())

    def incidents(
        self,
        since: int,
        until: int,
        host: str | None = None,
        state: str | None = None,
        limit: int = 200,
        label: str | None = None,
    ) -> list[Incident]:
        """Those that were open at some moment in [since, until), newest first; `state` is open or resolved.

        `label` is one of Label, or UNLABELLED.
        """
        where, values = ["opened_at < ?", "coalesce(resolved_at, ?) >= ?"], [until, until, since]
        parameters: list[int | str] = list(values)
        if host is not None:
            where.append("host = ?")
            parameters.append(host)
        if state is not None:
            where.append("state = 'resolved'" if state == State.RESOLVED else "state <> 'resolved'")
        if label == UNLABELLED:
            where.append("id NOT IN (SELECT incident FROM label)")
        elif label is not None:
            where.append("id IN (SELECT incident FROM label WHERE label = ?)")
            parameters.append(label)
        return self._incidents(f"{' AND '.join(where)} ORDER BY opened_at DESC, id DESC LIMIT ?", (*parameters, limit))

    def incident(self, incident_id: int) -> Incident | None:
        found = self._incidents("id = ?", (incident_id,))
        return found[0] if found else None

    def last_incident_id(self) -> int:
        with self._file.read() as db:
            return int(db.execute("SELECT coalesce(max(id), 0) FROM incident").fetchone()[0])

    def timeline(self, incident_id: int) -> list[TimelineEvent]:
        query = "SELECT incident, at, what, detail FROM incident_event WHERE incident = ? ORDER BY at / 1000, rowid"
        with self._file.read() as db:
            return [TimelineEvent(*row) for row in db.execute(query, (incident_id,))]

    def labels(self, host: str | None = None) -> list[Labelled]:
        """The newest first, with what became of their incidents since."""
        query = (
            "SELECT label.body, incident.resolved_at FROM label JOIN incident ON incident.id = label.incident"
            " WHERE ? IS NULL OR label.host = ? ORDER BY label.at DESC, label.incident DESC"
        )
        with self._file.read() as db:
            rows = db.execute(query, (host, host)).fetchall()
        return [replace(_LABELLED.decode(body), resolved_at=resolved_at) for body, resolved_at in rows]

    def label_of(self, incident_id: int) -> Labelled | None:
        query = "SELECT label.body, resolved_at FROM label JOIN incident ON id = incident WHERE incident = ?"
        with self._file.read() as db:
            row = db.execute(query, (incident_id,)).fetchone()
        return replace(_LABELLED.decode(row[0]), resolved_at=row[1]) if row else None

    def notifications(
        self, incident_id: int | None = None, state: str | None = None, limit: int = 100
    ) -> list[Notification]:
        where = "(? IS NULL OR incident_id = ?) AND (? IS NULL OR state = ?)"
        return self._outbox(f"{where} ORDER BY id DESC LIMIT ?", (incident_id, incident_id, state, state, limit))

    def hosts(self) -> list[KnownHost]:
        with self._file.read() as db:
            rows = db.execute("SELECT name, simulated, first_seen, first_sample FROM host ORDER BY name").fetchall()
        return [KnownHost(name, bool(simulated), seen, sample) for name, simulated, seen, sample in rows]

    def forget_host(self, name: str) -> None:
        self._file.run(lambda db: db.execute("DELETE FROM host WHERE name = ?", (name,)))

    def snapshot(self, name: str) -> tuple[int, bytes] | None:
        with self._file.read() as db:
            row = db.execute("SELECT position, body FROM snapshot WHERE name = ?", (name,)).fetchone()
        return (int(row[0]), bytes(row[1])) if row else None

    def positions(self, names: Sequence[str]) -> dict[str, int]:
        with self._file.read() as db:
            rows = dict(db.execute("SELECT key, value FROM meta WHERE key LIKE 'position.%'").fetchall())
        return {name: int(rows.get(f"position.{name}", 0)) for name in names}

    def keep_stored(self, position: int, refused: Sequence[RefusedSample], at: int) -> None:
        """How far the store has come, and what it will never take; waited for only when there is such a sample."""
        rows = [(item.sample, item.reason, at) for item in refused]

        def work(db: sqlite3.Connection) -> None:
            write_position(db, "stored", position)
            db.executemany("INSERT OR REPLACE INTO refused_sample VALUES (?, ?, ?)", rows)

        done = self._file.submit(work)
        if rows:
            done.result(COMMIT_SECONDS)

    def refused_samples(self, limit: int = 20) -> tuple[int, list[RefusedLine]]:
        """(how many there are, the newest of them)."""
        query = "SELECT sample, reason, at FROM refused_sample ORDER BY at DESC LIMIT ?"
        with self._file.read() as db:
            count = db.execute("SELECT count(*) FROM refused_sample").fetchone()[0]
            return int(count), [RefusedLine(*row) for row in db.execute(query, (limit,))]

    def meta(self, key: str) -> str | None:
        with self._file.read() as db:
            row = db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return row[0] if row else None

    def set_meta(self, key: str, value: str) -> None:
        self._file.run(lambda db: db.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (key, value)))

    # --- the outbox, as delivery sees it -------------------------------------------------------------------

    def claim(self, channel: str, now: int, limit: int) -> list[Notification]:
        """Due messages of a channel, oldest first; they are `sending` until marked otherwise."""
        return self._file.run(lambda db: _claim(db, channel, now, limit))

    def mark_sent(self, ids: Sequence[int], at: int) -> None:
        self._mark(ids, "state = 'sent', last_error = NULL, sent_at = ?", (at,), lambda n: f"{n.channel} told")

    def mark_retry(self, ids: Sequence[int], due_at: int, error: str) -> None:
        self._mark(ids, "state = 'pending', due_at = ?, last_error = ?", (due_at, error), None)

    def mark_dead(self, ids: Sequence[int], error: str) -> None:
        self._mark(ids, "state = 'dead', last_error = ?", (error,), lambda n: f"{n.channel} could not be told")

    def recover(self, now: int) -> int:
        """Give back what a dead process was sending; whether it was sent nobody knows, so it may be a repeat."""
        statement = "UPDATE outbox SET state = 'pending', due_at = ?, may_be_repeat = 1 WHERE state = 'sending'"
        return self._file.run(lambda db: db.execute(statement, (now,)).rowcount)

    def outbox_count(self, channel: str, since: int) -> OutboxCount:
        query = (
            "SELECT coalesce(sum(state IN ('pending', 'sending')), 0), coalesce(sum(state = 'dead'), 0),"
            " coalesce(sum(state = 'sent' AND sent_at >= ?), 0) FROM outbox WHERE channel = ?"
        )
        with self._file.read() as db:
            return OutboxCount(*db.execute(query, (since, channel)).fetchone())

    def _mark(self, ids: Sequence[int], change: str, values: tuple[int | str, ...], what: object) -> None:
        def work(db: sqlite3.Connection) -> None:
            marks = ", ".join("?" * len(ids))
            db.execute(f"UPDATE outbox SET {change} WHERE id IN ({marks})", (*values, *ids))  # noqa: S608 - our own words
            if callable(what):
                rows = _read_outbox(db, f"id IN ({marks})", tuple(ids))
                at = values[0] if isinstance(values[0], int) else None
                lines = [(n.incident.id, at or n.due_at, what(n), n.last_error or n.event.value) for n in rows]
                db.executemany("INSERT INTO incident_event VALUES (?, ?, ?, ?)", lines)

        self._file.run(work)

    def _incidents(self, where: str, values: tuple[int | str, ...]) -> list[Incident]:
        with self._file.read() as db:
            query = f"SELECT body FROM incident WHERE {where}"  # noqa: S608 - `where` is this module's own words
            return [_INCIDENT.decode(row[0]) for row in db.execute(query, values)]

    def _outbox(self, where: str, values: tuple[int | str | None, ...]) -> list[Notification]:
        with self._file.read() as db:
            return _read_outbox(db, where, values)


def _write(db: sqlite3.Connection, decided: Decided) -> None:
    keep_scored(db, decided.scored)
    known = (
        "INSERT INTO host VALUES (?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET simulated = excluded.simulated,"
        " first_sample = min(first_sample, excluded.first_sample)"
    )
    db.executemany(known, [(h.name, h.simulated, h.first_seen, h.first_sample) for h in decided.hosts])
    for incident in decided.incidents:
        write_incident(db, incident)
    _write_events(db, decided.events)
    _write_labels(db, decided.labels)
    db.executemany(
        "INSERT OR IGNORE INTO outbox (key, channel, event, incident, incident_id, created_at, due_at, state, attempts,"
        " may_be_repeat) VALUES (?, ?, ?, ?, ?, ?, ?, 'pending', 0, 0)",
        [_outbox_values(row) for row in decided.outbox],
    )
    if decided.scored_position is not None:
        write_position(db, "scored", decided.scored_position)
        snapshots = [(name, decided.scored_position, body) for name, body in decided.snapshots.items()]
        db.executemany("INSERT OR REPLACE INTO snapshot VALUES (?, ?, ?)", snapshots)


def write_incident(db: sqlite3.Connection, incident: Incident) -> None:
    """Insert or replace by id. A second incident of the same host, kind and start is the same one: it is left alone."""
    body = msgspec.msgpack.encode(incident)
    row = (incident.id, incident.host, incident.kind, incident.state, incident.opened_at, incident.resolved_at, body)
    db.execute(
        "INSERT INTO incident VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET state = excluded.state,"
        " resolved_at = excluded.resolved_at, body = excluded.body ON CONFLICT (host, kind, opened_at) DO NOTHING",
        row,
    )


def _write_events(db: sqlite3.Connection, events: Iterable[TimelineEvent]) -> None:
    rows = [(event.incident_id, event.at, event.what, event.detail) for event in events]
    db.executemany("INSERT INTO incident_event VALUES (?, ?, ?, ?)", rows)


def _write_labels(db: sqlite3.Connection, records: Iterable[Labelled]) -> None:
    for record in records:
        if record.label is None:
            db.execute("DELETE FROM label WHERE incident = ?", (record.incident,))
        else:
            row = (record.incident, record.host, record.label, record.at, msgspec.msgpack.encode(record))
            db.execute("INSERT OR REPLACE INTO label VALUES (?, ?, ?, ?, ?)", row)


def _outbox_values(row: OutboxRow) -> tuple[str | int | bytes, ...]:
    key = notification_key(row.incident.id, row.event, row.channel)
    body = msgspec.msgpack.encode(row.incident)
    return (key, row.channel, row.event.value, body, row.incident.id, row.created_at, row.created_at)


def _claim(db: sqlite3.Connection, channel: str, now: int, limit: int) -> list[Notification]:
    due = _read_outbox(
        db, "channel = ? AND state = 'pending' AND due_at <= ? ORDER BY id LIMIT ?", (channel, now, limit)
    )
    db.executemany(
        "UPDATE outbox SET state = 'sending', attempts = attempts + 1 WHERE id = ?", [(row.id,) for row in due]
    )
    return [replace(row, state=DeliveryState.SENDING, attempts=row.attempts + 1) for row in due]


def _read_outbox(db: sqlite3.Connection, where: str, values: Sequence[int | str | None]) -> list[Notification]:
    columns = (
        "id, key, channel, event, incident, created_at, due_at, state, attempts, last_error, sent_at, may_be_repeat"
    )
    query = f"SELECT {columns} FROM outbox WHERE {where}"  # noqa: S608 - `where` is this module's own words
    return [_notification(row) for row in db.execute(query, tuple(values))]


def _notification(
    row: tuple[int, str, str, str, bytes, int, int, str, int, str | None, int | None, int],
) -> Notification:
    key, channel, event, incident, created_at, due_at, state = row[1:8]
    return Notification(
        row[0], str(key), str(channel), Event(event), _INCIDENT.decode(incident), created_at, due_at,
        DeliveryState(state), row[8], row[9], row[10], bool(row[11]),
    )  # fmt: skip
