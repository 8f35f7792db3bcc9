"""The story of a sample, in order: journal, score, store, decide, commit, publish. READ THIS FIRST.

`accept` is called by whoever has samples and answers when they are on disk. The scoring thread takes what was
acknowledged, judges it and commits what was decided; the storing thread (`storing.py`) follows it through the journal
to the time-series store. A slow store or channel therefore delays neither the acknowledgement nor the decision.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np

from monitor_core.detection.votes import FOREST
from monitor_core.frame import Frame, IntArray, concat
from monitor_core.incidents import Incident
from monitor_core.labels import Label
from monitor_core.metrics import METRICS
from monitor_core.scores import Scores, empty_scores
from monitor_core.service.clock import Clock
from monitor_core.service.counters import Counters
from monitor_core.service.judge import Judge
from monitor_core.service.labelling import add_label, record_of
from monitor_core.service.score_spread import ScoreSpread, VoteSpread
from monitor_core.service.storing import Judged, Storing, split_by_entry
from monitor_core.storage.journal import Entry, EntryKind, Journal
from monitor_core.storage.state import Decided, KnownHost, StateStore
from monitor_core.storage.writer import StateUnavailable

log = logging.getLogger("monitor.pipeline")

MOST_UNSCORED = 50_000  # samples, about 5 MB
MAX_ROWS, MAX_TURNS = 20_000, 1_000  # a step takes a turn for each sample of the host that has most
RETRY_SECONDS = 1.0
GATHER_BELOW, GATHER_SECONDS = 50, 0.04
SNAPSHOT_SECONDS, SNAPSHOT_ROWS = 120.0, 100_000  # what a start after a crash has to judge again at most


@dataclass(frozen=True, slots=True)
class Accepted:
    """An acknowledged entry on its way to be scored."""

    position: int
    kind: EntryKind
    arrived_at: int
    frame: Frame


@dataclass(frozen=True, slots=True)
class Listeners:
    """Who hears of a step: `outcome` of its scores, `incidents` when any changed, `outbox` when rows wait."""

    outcome: Callable[[Frame, Scores], None]
    incidents: Callable[[], None]
    outbox: Callable[[], None]


class Pipeline:
    """Joins the stages. `lock` guards the judge: whoever asks it something from another thread takes it."""

    def __init__(
        self,
        journal: Journal,
        state: StateStore,
        judge: Judge,
        storing: Storing,
        listeners: Listeners,
        clock: Clock,
        counters: Counters,
    ) -> None:
        self._journal, self._state, self._storing = journal, state, storing
        self._listeners, self._clock, self._counters = listeners, clock, counters
        self.judge = judge
        self.lock = threading.RLock()
        self.known: dict[str, KnownHost] = {}
        self.score_spread, self.vote_spread = ScoreSpread(), VoteSpread()
        self.scored_position = 0
        self.last_error: str | None = None
        self._waiting: queue.SimpleQueue[Accepted | None] = queue.SimpleQueue()
        self._snapshot_at, self._since_snapshot = clock.monotonic(), 0
        self._counting, self._unscored = threading.Lock(), 0
        self._is_ahead = False
        self._stopped = threading.Event()

    def accept(self, frame: Frame, kind: EntryKind = EntryKind.SAMPLES) -> Future[int]:
        """1: commit the frame to the journal. The future is done, and the sender told, once it is on disk.

        A long stretch of one host goes in several entries, so that others get their turn between them.
        """
        parts = _in_short_parts(frame)
        return all_done([self._accept(part, kind) for part in parts]) if len(parts) > 1 else self._accept(frame, kind)

    def _accept(self, frame: Frame, kind: EntryKind) -> Future[int]:
        arrived_at, started = self._clock.now_ms(), self._clock.monotonic()
        future = self._journal.append(kind, arrived_at, frame.to_bytes(), len(frame))

        def acknowledged(done: Future[int]) -> None:
            if done.exception() is None:
                self._counters.commit_ms.put((self._clock.monotonic() - started) * 1000)
                self._let_in(Accepted(done.result(), kind, arrived_at, frame))

        future.add_done_callback(acknowledged)
        return future

    @property
    def is_full(self) -> bool:
        """More is acknowledged and not yet scored than should lie in memory: whoever can wait should."""
        return self._unscored >= MOST_UNSCORED

    @property
    def is_scoring(self) -> bool:
        """Is anything acknowledged and not yet scored? Who computes in the background then rests."""
        return self._unscored > 0

    def _let_in(self, entry: Accepted) -> None:
        with self._counting:
            self._unscored += len(entry.frame)
        self._waiting.put(entry)

    def process(self, kind: EntryKind, entries: list[Accepted]) -> None:
        """2 to 6 for acknowledged entries of one kind, in their order."""
        started = self._clock.monotonic()
        frame = concat([entry.frame for entry in entries])
        arrived = np.repeat([entry.arrived_at for entry in entries], [len(entry.frame) for entry in entries])
        with self.lock:
            decided = Decided(scored_position=entries[-1].position)
            judged = self._judge(kind, entries, frame, arrived, decided)  # 2 score, 4 decide
            self._since_snapshot += len(frame)
            self._snapshot_if_due(decided)
            self._commit(decided)  # 5 incidents, notifications and positions: all or nothing
            self.scored_position = entries[-1].position
        with self._counting:
            self._unscored -= len(frame)
        self._storing.hand_over(judged)  # 3 store, on its own thread and at its own pace
        self._publish(kind, frame, judged, decided)  # 6
        self._counters.score_ms.put((self._clock.monotonic() - started) * 1000)

    def run(self) -> None:
        """The scoring thread: everything that waits becomes one step, until `stop`."""
        while (entries := self._next_entries()) is not None:
            for kind, group in groupby(entries, key=lambda entry: entry.kind):
                self.process(kind, list(group))

    def stop(self) -> None:
        self._stopped.set()
        self._waiting.put(None)

    def resume(self, entries: list[Entry]) -> None:
        """After a restart: acknowledged before it, not yet decided upon."""
        for entry in entries:
            self._let_in(Accepted(entry.position, entry.kind, entry.arrived_at, Frame.from_bytes(entry.body)))

    def watch_silence(self) -> None:
        """Called every interval: who has been quiet for too long?"""
        out = Decided()
        with self.lock:
            simulated = {name: host.simulated for name, host in self.known.items()}
            self.judge.silence(self._clock.now_ms(), simulated, out)
            if not out.incidents:
                return
            self._state.commit(out)
        self._tell_listeners(out)

    def forget(self, host: str) -> bool:
        """End what is open about a host and remove it from memory; False when it is unknown."""
        out = Decided()
        with self.lock:
            if self.known.pop(host, None) is None:
                return False
            self.judge.forget(host, self._clock.now_ms(), out)
            self._state.commit(out)
            self._state.forget_host(host)
        self._tell_listeners(out)
        return True

    def label(self, incident_id: int, label: Label | None, note: str | None) -> Incident | None:
        """Set an incident's label, or take it back (None); None when there is no such incident.

        A snapshot goes with it, so that no replay judges samples of before the label with it, or of after without.
        Raises StateUnavailable; then nothing has changed.
        """
        with self.lock:
            found = self._state.incident(incident_id)
            if found is None or found.label is label is None:
                return found
            if self._is_ahead:
                raise StateUnavailable("the service is ending")
            record = record_of(found, label, self._clock.now_ms(), note, self._state.label_of(incident_id))
            before = self.judge.snapshots()
            if label is Label.NEW_NORMAL and not record.relearned:
                record = replace(record, relearned=self.judge.relearn(found))
            if (label is Label.REAL) != (found.label is Label.REAL):
                self.judge.forgive(found, 1 if label is Label.REAL else -1)
            out = Decided(scored_position=self.scored_position, snapshots=self.judge.snapshots())
            changed = add_label(found, record, out)
            try:
                self._state.commit(out)
            except BaseException:
                self.judge.restore(before)
                raise
            self.judge.labelled(record)
            if changed.is_open:
                self.judge.desk.replace_open(changed)
        self._tell_listeners(out)
        return changed

    def leave_snapshot(self) -> None:
        """At the end: the next start then has nothing to judge again."""
        with self.lock:
            if not self._is_ahead:
                self._state.commit(Decided(scored_position=self.scored_position, snapshots=self.judge.snapshots()))

    def snapshot_soon(self) -> None:
        """Take a snapshot with the next step."""
        self._snapshot_at = -SNAPSHOT_SECONDS

    def _next_entries(self) -> list[Accepted] | None:
        entry = self._waiting.get()
        if entry is not None and len(entry.frame) < GATHER_BELOW:
            # a step costs nearly the same for one sample as for fifty: let a few gather
            self._stopped.wait(GATHER_SECONDS)
        entries: list[Accepted] = []
        rows = turns = 0
        while entry is not None:
            entries.append(entry)
            rows += len(entry.frame)
            turns += longest_stretch(entry.frame)
            if rows >= MAX_ROWS or turns >= MAX_TURNS or self._waiting.empty():
                return entries
            entry = self._waiting.get()
        self._waiting.put(None)
        return entries or None

    def _judge(
        self, kind: EntryKind, entries: list[Accepted], frame: Frame, arrived: IntArray, out: Decided
    ) -> list[Judged]:
        self._meet(kind, frame, arrived, out)
        try:
            scores, anomalies = self.judge.ways[kind](frame, arrived, out)
            self.last_error = None
        except Exception as error:  # acknowledged samples are stored even when a detector has a fault
            log.exception("samples could not be judged; they are stored without a score")
            self.last_error = f"{type(error).__name__}: {error}"
            scores, anomalies = empty_scores(len(frame), len(METRICS)), []
        bounds = np.cumsum([len(entry.frame) for entry in entries])[:-1].tolist()
        judged = split_by_entry([entry.position for entry in entries], bounds, frame, scores, anomalies)
        if kind is not EntryKind.SAMPLES:
            judged = [item.without_samples() for item in judged]
        out.scored = [(item.position, item.to_bytes()) for item in judged]
        return judged

    def _commit(self, decided: Decided) -> None:
        """Until it is on disk nothing later may be decided, so a full disk is waited for."""
        while True:
            try:
                self._state.commit(decided)
            except StateUnavailable as error:
                self.last_error = str(error)
                log.warning("decisions cannot be written yet: %s", error)
                if self._stopped.wait(RETRY_SECONDS):
                    self._is_ahead = True  # the judge knows what was never committed: no snapshot may be made of it
                    raise
            else:
                return

    def _meet(self, kind: EntryKind, frame: Frame, arrived: IntArray, out: Decided) -> None:
        """Hosts that were never seen, or of which older samples came, go to the host table."""
        if kind is not EntryKind.SAMPLES:
            return
        self._counters.count_samples(len(frame), int((frame.time >= self._counters.day_start()).sum()))
        first = np.full(len(frame.hosts), np.iinfo(np.int64).max)
        np.minimum.at(first, frame.code, frame.time)
        for i, name in enumerate(frame.hosts):
            before = self.known.get(name)
            simulated = bool(frame.simulated[i])
            if before is None or first[i] < before.first_sample or simulated != before.simulated:
                seen = before.first_seen if before else int(arrived[0])
                earliest = min(int(first[i]), before.first_sample) if before else int(first[i])
                self.known[name] = KnownHost(name, simulated, seen, earliest)
                out.hosts.append(self.known[name])

    def _snapshot_if_due(self, out: Decided) -> None:
        is_due = self._clock.monotonic() - self._snapshot_at >= SNAPSHOT_SECONDS
        if is_due or self._since_snapshot >= SNAPSHOT_ROWS:
            out.snapshots = self.judge.snapshots()
            self._snapshot_at, self._since_snapshot = self._clock.monotonic(), 0

    def _publish(self, kind: EntryKind, frame: Frame, judged: list[Judged], decided: Decided) -> None:
        if kind is EntryKind.SAMPLES:
            for item in judged:
                self._listeners.outcome(item.frame, item.scores)
                self.score_spread.add(item.frame.time, item.scores.score)
                votes = item.scores.by_detector[:, FOREST]
                self.vote_spread.add(item.frame.time, votes, item.scores.model_version)
        self._counters.decided.put(len(self.judge.desk.open))
        self._counters.count_quiet(self.judge.take_kept_quiet())
        self._tell_listeners(decided)

    def _tell_listeners(self, decided: Decided) -> None:
        if decided.incidents:
            self._listeners.incidents()
        if decided.outbox:
            self._listeners.outbox()


def longest_stretch(frame: Frame) -> int:
    """How many samples the host has of which there are most."""
    return int(np.bincount(frame.code).max()) if len(frame) else 0


def _in_short_parts(frame: Frame) -> list[Frame]:
    """The frame itself, or parts of it in order when one host has very many samples in it, each instant once."""
    if longest_stretch(frame) <= MAX_TURNS:
        return [frame]
    key = np.stack([frame.code.astype(np.int64), frame.time])
    _, last = np.unique(key[:, ::-1], axis=1, return_index=True)
    rows = np.sort(len(frame) - 1 - last)
    parts = -(-longest_stretch(frame.take(rows)) // MAX_TURNS)
    return [frame.take(part) for part in np.array_split(rows, max(1, parts))]


def all_done(futures: Sequence[Future[int]]) -> Future[int]:
    """Done with the last result once all are; failed as soon as one has failed."""
    together: Future[int] = Future()
    left = len(futures)
    lock = threading.Lock()

    def one(done: Future[int]) -> None:
        nonlocal left
        with lock:
            left -= 1
            if together.done():
                return
            if done.exception() is not None:
                together.set_exception(done.exception())
            elif left == 0:
                together.set_result(futures[-1].result())

    for future in futures:
        future.add_done_callback(one)
    return together
