"""StateFile: the one SQLite file of operational state, with one writer thread and group commit.

Whoever changes state hands in a function; the thread runs all that wait in one transaction and answers after the
commit, so that a hundred concurrent posts cost one fsync. Readers get their own read-only connections.
"""

from __future__ import annotations

import queue
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

SCHEMA_VERSION = 1
MAX_GROUP = 512

T = TypeVar("T")
Job = tuple[Callable[[sqlite3.Connection], Any], "Future[Any]"]


class StateUnavailable(Exception):
    """The state file cannot be read or written (disk full, damaged, newer); the message says why."""


class StateFile:
    """Owner of `path`; nothing else may write to it. Commits are durable (synchronous=FULL)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._local = threading.local()
        self._closing, self._is_closed = threading.Lock(), False
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600, exist_ok=True)
        self._connection = self._open()
        self._thread = threading.Thread(target=self._run, name="state-writer", daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[sqlite3.Connection], T]) -> Future[T]:
        """Run `work` in the next transaction; the future is done once it is durable, or failed and undone."""
        future: Future[T] = Future()
        with self._closing:
            if not self._is_closed:
                self._jobs.put((work, future))
                return future
        future.set_exception(StateUnavailable(f"{self.path.name} is closed"))
        return future

    def run(self, work: Callable[[sqlite3.Connection], T], timeout: float = 30.0) -> T:
        """`submit` and wait."""
        return self.submit(work).result(timeout)

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A read-only connection of the calling thread, inside one consistent view."""
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(f"file:{self.path}?mode=ro", uri=True, timeout=5, isolation_level=None)
            self._local.connection = connection
        connection.execute("BEGIN")
        try:
            yield connection
        except sqlite3.Error as error:
            raise StateUnavailable(f"{self.path.name}: {error}") from error
        finally:
            connection.rollback()

    def pragma(self, name: str) -> Any:
        """A setting of the writing connection, as SQLite reports it."""
        return self.run(lambda connection: connection.execute(f"PRAGMA {name}").fetchone()[0])

    def close(self) -> None:
        """Finish what waits, then close. Later submissions fail at once."""
        with self._closing:
            self._is_closed = True
            self._jobs.put(None)
        self._thread.join(timeout=10)

    def _open(self) -> sqlite3.Connection:
        try:
            connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=5)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA wal_autocheckpoint=2000")
            connection.execute(f"PRAGMA journal_size_limit={64 << 20}")
            found = connection.execute("PRAGMA user_version").fetchone()[0]
            if found > SCHEMA_VERSION:
                raise StateUnavailable(f"{self.path.name} was written by a newer version (schema {found})")
            connection.executescript((Path(__file__).parent / "state_schema.sql").read_text())
            connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        except sqlite3.Error as error:
            raise StateUnavailable(f"{self.path.name} cannot be opened: {error}") from error
        return connection

    def _run(self) -> None:
        open_for_work = True
        while open_for_work:
            group, open_for_work = self._next_group()
            self._commit(group)
        self._connection.close()

    def _next_group(self) -> tuple[list[Job], bool]:
        group: list[Job] = []
        job = self._jobs.get()
        while job is not None:
            group.append(job)
            if len(group) == MAX_GROUP or self._jobs.empty():
                return group, True
            job = self._jobs.get()
        return group, False

    def _commit(self, group: list[Job]) -> None:
        """One transaction for all; a job that fails is undone alone, a failing commit fails all."""
        if not group:
            return
        done: list[tuple[Future[Any], Any]] = []
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for work, future in group:
                self._run_one(work, future, done)
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            if self._connection.in_transaction:
                self._connection.rollback()
            failure = StateUnavailable(f"{self.path.name}: {error}")
            for _, future in group:
                if not future.done():
                    future.set_exception(failure)
            return
        for future, result in done:
            future.set_result(result)

    def _run_one(
        self, work: Callable[[sqlite3.Connection], Any], future: Future[Any], done: list[tuple[Future[Any], Any]]
    ) -> None:
        self._connection.execute("SAVEPOINT job")
        try:
            result = work(self._connection)
        except Exception as error:
            if not self._connection.in_transaction:
                raise
            self._connection.execute("ROLLBACK TO job")
            future.set_exception(error)
        else:
            done.append((future, result))
        finally:
            if self._connection.in_transaction:
                self._connection.execute("RELEASE job")
