-- Operational state, owned by the service: one file, one writer. Times are ms UTC.
CREATE TABLE IF NOT EXISTS journal (
    position   INTEGER PRIMARY KEY AUTOINCREMENT,
    kind       TEXT NOT NULL,
    arrived_at INTEGER NOT NULL,
    samples    INTEGER NOT NULL,
    body       BLOB NOT NULL,
    scored     BLOB
);
-- samples that the time-series store will never take, with what it said
CREATE TABLE IF NOT EXISTS refused_sample (
    sample TEXT PRIMARY KEY,
    reason TEXT NOT NULL,
    at     INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS snapshot (name TEXT PRIMARY KEY, position INTEGER NOT NULL, body BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS host (
    name       TEXT PRIMARY KEY,
    simulated  INTEGER NOT NULL,
    first_seen INTEGER NOT NULL,
    first_sample INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS incident (
    id        INTEGER PRIMARY KEY,
    host      TEXT NOT NULL,
    kind      TEXT NOT NULL,
    state     TEXT NOT NULL,
    opened_at INTEGER NOT NULL,
    resolved_at INTEGER,
    body      BLOB NOT NULL,
    UNIQUE (host, kind, opened_at)
);
-- at most one incident of a kind is open per host
CREATE UNIQUE INDEX IF NOT EXISTS incident_open ON incident (host, kind) WHERE state <> 'resolved';
-- the log: newest first within a range
CREATE INDEX IF NOT EXISTS incident_opened ON incident (opened_at);
CREATE TABLE IF NOT EXISTS incident_event (
    incident INTEGER NOT NULL REFERENCES incident (id),
    at       INTEGER NOT NULL,
    what     TEXT NOT NULL,
    detail   TEXT NOT NULL
);
-- one incident's timeline
CREATE INDEX IF NOT EXISTS incident_event_incident ON incident_event (incident, at);
-- what a person says about an incident: one label each; the incident's body has the word too
CREATE TABLE IF NOT EXISTS label (
    incident INTEGER PRIMARY KEY REFERENCES incident (id),
    host     TEXT NOT NULL,
    label    TEXT NOT NULL,
    at       INTEGER NOT NULL,
    body     BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS outbox (
    id         INTEGER PRIMARY KEY,
    key        TEXT NOT NULL UNIQUE,
    channel    TEXT NOT NULL,
    event      TEXT NOT NULL,
    incident   BLOB NOT NULL,
    incident_id INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    due_at     INTEGER NOT NULL,
    state      TEXT NOT NULL,
    attempts   INTEGER NOT NULL,
    last_error TEXT,
    sent_at    INTEGER,
    may_be_repeat INTEGER NOT NULL
);
-- claiming what is due, per channel
CREATE INDEX IF NOT EXISTS outbox_due ON outbox (channel, state, due_at);
CREATE TABLE IF NOT EXISTS model_version (
    version    INTEGER PRIMARY KEY,
    created_at INTEGER NOT NULL,
    manifest_sha256 TEXT NOT NULL
);
