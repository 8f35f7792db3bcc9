"""Bootstrap: the only place where the service's parts are built and joined; `Service` starts and stops them."""

from __future__ import annotations

import fcntl
import logging
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from apscheduler.triggers.cron import CronTrigger

from monitor_core.alerting.channels.base import Channel
from monitor_core.alerting.channels.console import ConsoleChannel
from monitor_core.alerting.channels.slack import SlackChannel
from monitor_core.alerting.delivery import Delivery
from monitor_core.detection.alert_budget import Budget
from monitor_core.detection.incident_policy import Rules
from monitor_core.detection.model_registry import ModelRegistry
from monitor_core.detection.scorer import Scorer
from monitor_core.detection.votes import distance_of
from monitor_core.service.clock import Clock, SystemClock
from monitor_core.service.collecting import Collector, Source
from monitor_core.service.counters import Counters
from monitor_core.service.gathering import Gathering
from monitor_core.service.history import History
from monitor_core.service.judge import Judge
from monitor_core.service.labelling import labelled_spans
from monitor_core.service.learning import Job, Learning, job_view
from monitor_core.service.live import Live
from monitor_core.service.pipeline import Listeners, Pipeline
from monitor_core.service.recent import RECENT_MS
from monitor_core.service.recovery import SNAPSHOTS, recover
from monitor_core.service.scheduler import Scheduler
from monitor_core.service.sending import Sender, nudge_all
from monitor_core.service.storing import Away, Storing
from monitor_core.settings import Settings
from monitor_core.sources.host import HostSource
from monitor_core.storage.influxdb.connection import Connection
from monitor_core.storage.influxdb.store import InfluxStore
from monitor_core.storage.journal import Journal
from monitor_core.storage.sqlite import SqliteStore
from monitor_core.storage.state import StateStore
from monitor_core.storage.timeseries import StoreUnavailable, TimeSeriesStore
from monitor_core.storage.writer import StateFile, StateUnavailable

log = logging.getLogger("monitor")

STORES = SQLITE, INFLUXDB = ("sqlite", "influxdb")
LEVELS_APART = 5  # a baseline takes every fifth sample's level: 15 s at one sample each 3 s, an hour in all
MAINTAIN_SECONDS, STORE_SECONDS = 30.0, 1.0
FIRST_TRAINING_SECONDS = 10.0


class AlreadyRunning(Exception):
    """Another process owns the data folder."""


@dataclass(eq=False)
class Service:
    """Everything that runs. `started_at` ms UTC."""

    settings: Settings
    clock: Clock
    file: StateFile
    journal: Journal
    state: StateStore
    store: TimeSeriesStore
    history: History
    judge: Judge
    pipeline: Pipeline
    gathering: Gathering
    storing: Storing
    live: Live
    learning: Learning
    scheduler: Scheduler
    counters: Counters
    collectors: list[Collector]
    channels: list[Channel]
    senders: list[Sender]
    lock: DataLock
    started_at: int = 0
    address: str = "127.0.0.1"
    on_store_change: Callable[[], None] = lambda: None
    _away: Away | None = None
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        """Recover, then let samples in. Raises StateUnavailable, StoreUnavailable."""
        now = self.started_at = self.clock.now_ms()
        self.counters.restore(self.state.meta("counters"))
        self.pipeline.score_spread.restore(self.state.meta("scores"))
        self.pipeline.vote_spread.restore(self.state.meta("votes"))
        first_start = not self.state.hosts()
        self.learning.load_active()  # what is judged again is judged with the version that judged it
        recover(self.pipeline, self.storing, self.judge, self.journal, self.state, self.store, now)
        self._fill_latest(now)
        for work in (self.pipeline.run, self.storing.run, self.live.run, *(sender.run for sender in self.senders)):
            self._run(work)
        self._schedule()
        self.scheduler.start()
        for collector in self.collectors:
            collector.begin(first_start=first_start)

    def end_streams(self) -> None:
        """The open pages are let go; they come back when there is a service again."""
        self.live.end_streams()

    def stop(self) -> None:
        """Take no more, finish what was accepted, leave a snapshot for a quick start. A training is given up."""
        self.learning.stop()
        for collector in self.collectors:
            collector.stop()
        self.scheduler.stop()
        self.live.stop()
        for sender in self.senders:
            sender.stop()
        self.pipeline.stop()
        self._join("scoring")
        with suppress(StateUnavailable):  # a full disk costs the next start some seconds, no more
            self.pipeline.leave_snapshot()
        self.storing.stop()
        self._save_counts()
        for thread in self._threads:
            thread.join(timeout=5)
        self.learning.wait(timeout=5)
        self.store.close()
        self.file.close()
        self.lock.release()

    def maintain(self) -> None:
        """Roll up and expire the store, and let the journal go as far as everybody has read it."""
        now = self.clock.now_ms()
        self._save_counts()
        snapshots = [saved[0] for name in SNAPSHOTS if (saved := self.state.snapshot(name))]
        done = min([self.pipeline.scored_position, self.storing.stored_position, *(snapshots or [0])])
        if self.settings.influxdb_url:  # a database may go away: the last minutes are then shown from the journal
            done = min(done, self.journal.before(now - RECENT_MS))
        self.journal.remove_through(done)
        try:
            self.store.maintain(now)
        except StoreUnavailable as error:  # what is due stays due
            log.info("rolling up waits for the store: %s", error)

    def _save_counts(self) -> None:
        self.state.set_meta("counters", self.counters.saved())
        self.state.set_meta("scores", self.pipeline.score_spread.saved())
        self.state.set_meta("votes", self.pipeline.vote_spread.saved())

    def watch_store(self) -> None:
        """Tell every open page when the store goes away and when it is back."""
        was = self._away
        self._away = self.storing.away
        if (was is None) != (self._away is None):
            self.on_store_change()

    def train_first(self) -> None:
        """The first version is trained by itself as soon as there is something to learn from, and another whenever the
        history of a host has doubled on its first day."""
        busy = self.learning.job is not None and self.learning.job.state == "running"
        filling = any(c.progress is not None and c.progress < 1 for c in self.collectors)
        able = not busy and not filling and self.storing.away is None
        if not able or self.settings.train_at_hour < 0:
            return
        if not self.learning.active and self.learning.training_set():
            self.learning.start("first")
        elif self.learning.has_grown():
            self.learning.start("scheduled")

    def _fill_latest(self, now: int) -> None:
        """Show what was last known until the first sample arrives."""
        try:
            frame = self.store.latest(now - 86_400_000)
        except StoreUnavailable as error:
            log.warning("the service starts without its store: %s", error)
            return
        if len(frame):
            self.live.latest.take(frame, self.judge.scorer.peek(frame))

    def _schedule(self) -> None:
        interval = self.settings.sample_interval_seconds
        for collector in self.collectors:
            self.scheduler.every(interval, f"Collect {collector.source.name}", collector.tick)
        self.scheduler.every(max(interval, 0.5), "Watch for silence", self.pipeline.watch_silence)
        self.scheduler.every(STORE_SECONDS, "Watch the store", self.watch_store)
        self.scheduler.every(MAINTAIN_SECONDS, "Roll up and expire", self.maintain)
        self.scheduler.every(FIRST_TRAINING_SECONDS, "First training", self.train_first)
        if self.settings.train_at_hour >= 0:
            nightly = CronTrigger(hour=self.settings.train_at_hour)
            self.scheduler.at(nightly, "Train", lambda: self.learning.start("scheduled"))

    def _run(self, work: Callable[[], None]) -> None:
        name = "scoring" if work == self.pipeline.run else getattr(work, "__qualname__", "worker")
        thread = threading.Thread(target=work, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _join(self, name: str) -> None:
        for thread in self._threads:
            if thread.name == name:
                thread.join(timeout=10)

    def dead_threads(self) -> list[str]:
        """Names of parts that should run and do not."""
        return [thread.name for thread in self._threads if not thread.is_alive()]


class DataLock:
    """flock on the data folder: two services on the same files would be the end of both."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._file = (folder / ".lock").open("w")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise AlreadyRunning(f"another monitor is already running on {folder}") from None

    def release(self) -> None:
        self._file.close()


def build(settings: Settings, extra_sources: Sequence[Source] = (), clock: Clock | None = None) -> Service:
    """A service that is ready to start. Raises AlreadyRunning, StateUnavailable, StoreUnavailable."""
    clock = clock or SystemClock()
    interval_ms = int(settings.sample_interval_seconds * 1000)
    lock = DataLock(settings.data_dir)
    file = StateFile(settings.data_dir / "state.sqlite")
    journal, state = Journal(file), StateStore(file)
    store = _store(settings, INFLUXDB if settings.influxdb_url else SQLITE)
    channels = _channels(settings)
    counters = Counters(clock)
    judge = build_judge(settings, [channel.name for channel in channels], pause=lambda: time.sleep(0.0005))
    storing = Storing(journal, state, store, clock, counters, settings.spool_max_bytes)
    senders = [
        Sender(Delivery(state, channel, clock.now_ms, clock.monotonic), counters.told.put) for channel in channels
    ]
    live = Live(
        today=lambda: today(counters, state, [channel.name for channel in channels]),
        open_incidents=lambda: list(judge.desk.open.values()),
        gaps=lambda names: judge.scorer.state.gap_ms(judge.scorer.state.rows(names)),
        now_ms=clock.now_ms,
    )
    listeners = Listeners(live.outcome, live.incidents, lambda: nudge_all(senders))
    pipeline = Pipeline(journal, state, judge, storing, listeners, clock, counters)
    registry = ModelRegistry(settings.data_dir / "models")
    learning = Learning(
        pipeline,
        state,
        store,
        registry,
        clock,
        announce=_announcer(live),
        spacing_ms=LEVELS_APART * interval_ms,
        interval_ms=interval_ms,
        new_judge=lambda: build_judge(settings, ["replay"]),  # who would be told; nothing is sent
        labelled=lambda start, stop: labelled_spans(state, start, stop),
    )
    sources = [*_own_sources(settings), *extra_sources]
    collectors = [Collector(source, pipeline, clock, interval_ms) for source in sources]
    return Service(
        settings=settings,
        clock=clock,
        file=file,
        journal=journal,
        state=state,
        store=store,
        history=History(store, journal, storing, clock),
        judge=judge,
        pipeline=pipeline,
        gathering=Gathering(pipeline.accept),
        storing=storing,
        live=live,
        learning=learning,
        scheduler=Scheduler(clock),
        counters=counters,
        collectors=collectors,
        channels=channels,
        senders=senders,
        lock=lock,
    )


def build_judge(settings: Settings, channels: Sequence[str] = (), pause: Callable[[], None] = lambda: None) -> Judge:
    """Detectors and policy with an empty memory."""
    spacing_ms = LEVELS_APART * int(settings.sample_interval_seconds * 1000)
    scorer = Scorer(settings.limits(), settings.host_limits, spacing_ms)
    return Judge(scorer, _rules(settings), channels, pause, _budget(settings))


def today(counters: Counters, state: StateStore, channels: Sequence[str]) -> dict[str, int]:
    """What the first line of a page counts, since midnight UTC."""
    sent = sum(state.outbox_count(channel, counters.day_start()).sent_today for channel in channels)
    return {
        "samples": counters.samples_today,
        "messages_sent": sent,
        "kept_quiet": counters.kept_quiet_today,
    }


def _announcer(live: Live) -> Callable[[Job], None]:
    return lambda job: live.send("models", "job", job_view(job))


def _own_sources(settings: Settings) -> list[Source]:
    return [HostSource(settings.host_name, settings.disk_path)] if settings.collect_this_host else []


@contextmanager
def stores(settings: Settings, *names: str) -> Iterator[list[TimeSeriesStore]]:
    """Stores by name, for whoever works on them while no service runs. Raises AlreadyRunning, StoreUnavailable."""
    lock = DataLock(settings.data_dir)
    opened: list[TimeSeriesStore] = []
    try:
        opened.extend(_store(settings, name) for name in names)
        yield opened
    finally:
        for store in opened:
            store.close()
        lock.release()


def _store(settings: Settings, name: str) -> TimeSeriesStore:
    days = {name: getattr(settings, name) for name in ("minute_days", "half_hour_days", "anomaly_days")}
    if settings.raw_days is not None:
        days["raw_days"] = settings.raw_days
    if name == SQLITE:
        return SqliteStore(settings.data_dir / "timeseries.sqlite", **days)
    if settings.influxdb_url is None:
        raise StoreUnavailable("INFLUXDB_URL is not set")
    token = settings.influxdb_token.get_secret_value() if settings.influxdb_token else ""
    connection = Connection(settings.influxdb_url, token, settings.influxdb_org or "")
    return InfluxStore(connection, settings.influxdb_bucket or "", settings.data_dir, **days)


def _channels(settings: Settings) -> list[Channel]:
    if settings.slack_webhook_url is None:
        return [ConsoleChannel(settings.public_url)]
    return [SlackChannel(settings.slack_webhook_url.get_secret_value(), settings.public_url)]


def _budget(settings: Settings) -> Budget:
    return Budget(
        alerts_per_day=settings.alerts_per_week / 7 or math.inf,
        distance=float(distance_of(np.array([settings.alarm_score]))[0]),
        samples=settings.alarm_samples,
        window=settings.alarm_window,
    )


def _rules(settings: Settings) -> Rules:
    return Rules(
        alarm_score=settings.alarm_score,
        alarm_samples=settings.alarm_samples,
        alarm_window=settings.alarm_window,
        recovery_ms=int(settings.recovery_seconds * 1000),
        silence_factor=settings.silence_factor,
        silence_minimum_ms=int(settings.silence_minimum_seconds * 1000),
    )
