-- The embedded time-series store. Blobs are described in rollups.py; times are ms UTC, hours and days count from 1970.
CREATE TABLE IF NOT EXISTS host (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
-- what was written and is not yet in chunks: one row a frame, in order of writing
CREATE TABLE IF NOT EXISTS head (seq INTEGER PRIMARY KEY AUTOINCREMENT, body BLOB NOT NULL);
-- key = hour << 32 | host: retention is one range
CREATE TABLE IF NOT EXISTS chunk (key INTEGER PRIMARY KEY, samples INTEGER NOT NULL, body BLOB NOT NULL);
-- key = host << 32 | hour (minute) or day (half_hour): one host's chart is one range
CREATE TABLE IF NOT EXISTS minute (key INTEGER PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS half_hour (key INTEGER PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS anomaly (host TEXT NOT NULL, time INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY (host, time)) WITHOUT ROWID;
-- the log over all hosts, newest first
CREATE INDEX IF NOT EXISTS anomaly_time ON anomaly (time);
