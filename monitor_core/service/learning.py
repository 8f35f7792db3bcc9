"""Learning: the background job that retrains the forest, and which version speaks.

One job at a time. A new version is saved, then activated; the last one stays on disk and one click away.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from types import MappingProxyType
from typing import Any

from monitor_core.detection import training
from monitor_core.detection.detectors import isolation_forest
from monitor_core.detection.model_registry import ModelDamaged, ModelInfo, ModelRegistry
from monitor_core.frame import BoolArray, Frame
from monitor_core.incidents import Incident
from monitor_core.labels import NORMAL_HISTORY
from monitor_core.scores import Scores
from monitor_core.service.clock import Clock
from monitor_core.service.pipeline import Pipeline
from monitor_core.storage.state import StateStore
from monitor_core.storage.timeseries import StoreUnavailable, TimeSeriesStore

log = logging.getLogger("monitor.learning")

HOUR_MS = 3_600_000
MIN_HISTORY_MS = HOUR_MS
WINDOW_MS = 6 * HOUR_MS
MAX_HOSTS = 200
MIN_ROWS = 500
STEPS = ("reading", "features", "fitting", "judging", "ready")
MARGIN_MS = 5 * 60_000

Spans = Mapping[str, Sequence[tuple[int, int]]]


class AlreadyTraining(Exception):
    """One training at a time; `job` is the one that runs."""

    def __init__(self, job: Job) -> None:
        super().__init__(f"training {job.id} is still running")
        self.job = job


@dataclass(frozen=True, slots=True)
class Job:
    """A training, as pages see it. Times ms UTC."""

    id: int
    state: str
    step: str
    progress: float
    message: str
    started_at: int
    finished_at: int | None = None
    version: int | None = None
    kind: str = "train"


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """Whose history a training reads, and whether those hosts exist."""

    hosts: tuple[str, ...]
    simulated: bool
    start: int
    stop: int


class Learning:
    """`announce` gets every change of the job."""

    def __init__(
        self,
        pipeline: Pipeline,
        state: StateStore,
        store: TimeSeriesStore,
        registry: ModelRegistry,
        clock: Clock,
        announce: Callable[[Job], None],
        spacing_ms: int,
    ) -> None:
        self._pipeline, self._state, self._store = pipeline, state, store
        self._registry, self._clock, self._announce = registry, clock, announce
        self._spacing_ms = spacing_ms
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._jobs = 0
        self.job: Job | None = None
        self.damaged: str | None = None

    @property
    def active(self) -> int:
        return self._pipeline.judge.scorer.model_version

    def registered(self) -> list[int]:
        """Numbers of all versions, also of damaged ones."""
        return self._registry.versions()

    def versions(self) -> list[ModelInfo]:
        """Newest first; damaged ones are left out (and said)."""
        found = []
        for version in reversed(self._registry.versions()):
            try:
                found.append(self._registry.info(version))
            except ModelDamaged as error:
                self.damaged = str(error)
        return found

    def load_active(self) -> None:
        """At the start: the version that spoke last, or the newest one that is whole."""
        wanted = int(self._state.meta("model.active") or 0)
        for version in dict.fromkeys([wanted, *reversed(self._registry.versions())]):
            if version:
                try:
                    self._use(version)
                except ModelDamaged as error:
                    self.damaged = str(error)
                    log.warning("%s; the next older version is tried", error)
                else:
                    return

    def activate(self, version: int) -> None:
        """Let this version speak from now on. Raises ModelDamaged; then nothing changes."""
        self._use(version)
        self._state.set_meta("model.active", str(version))

    def start(self, reason: str) -> Job:
        """Begin a training in the background. Raises AlreadyTraining."""
        with self._lock:
            if self.job is not None and self.job.state == "running":
                raise AlreadyTraining(self.job)
            self._jobs += 1
            now = self._clock.now_ms()
            self.job = Job(self._jobs, "running", "reading", 0.02, "reading history", now)
            self._thread = threading.Thread(target=self._run, args=(reason,), name="training", daemon=True)
            self._thread.start()
            return self.job

    def wait(self, timeout: float) -> None:
        """Until the training that runs has ended."""
        if self._thread is not None:
            self._thread.join(timeout)

    def why_not(self) -> str | None:
        """Why a training could not begin now; None when it can."""
        return None if self.training_set() else "Training needs at least a few minutes of history from one host."

    def training_set(self) -> TrainingSet | None:
        """Real hosts once one of them has an hour of history; until then whatever there is, also simulated ones."""
        now = self._clock.now_ms()
        known = list(self._pipeline.known.values())
        real = [host for host in known if not host.simulated and now - host.first_sample >= MIN_HISTORY_MS]
        chosen = real or [host for host in known if now - host.first_sample >= MARGIN_MS]
        if not chosen:
            return None
        names = tuple(sorted(host.name for host in chosen)[:MAX_HOSTS])
        return TrainingSet(names, not real, now - WINDOW_MS, now)

    def _run(self, reason: str) -> None:
        try:
            info = self._train(reason)
            hosts = "1 host" if info.hosts == 1 else f"{info.hosts} hosts"
            text = f"Version {info.version} learned from {info.samples:,} normal samples of {hosts}"
            self._tell(state="done", step="ready", progress=1.0, message=text, version=info.version)
        except training.TooLittleHistory as error:
            self._tell(state="failed", message=str(error))
        except StoreUnavailable as error:
            self._tell(state="failed", message=f"The history cannot be read: {error}.")
        except Exception as error:  # the page shows it; the version that speaks goes on
            log.exception("training failed")
            self._tell(state="failed", message=f"Training failed: {type(error).__name__}: {error}")

    def _train(self, reason: str) -> ModelInfo:
        started = self._clock.monotonic()
        chosen = self.training_set()
        if chosen is None:
            raise training.TooLittleHistory(self.why_not())
        self._tell(step="features", progress=0.1, message="computing features")
        table = training.thin(training.feature_table(self._normal(chosen), self._spacing_ms, training.breathe))
        if len(table) < MIN_ROWS:
            raise training.TooLittleHistory(f"Only {len(table)} normal samples after warm-up; {MIN_ROWS} are needed.")
        self._tell(step="fitting", progress=0.7, message=f"fitting {training.TREES} trees to {len(table):,} samples")
        forest = training.fit(table)
        self._tell(step="judging", progress=0.85, message="scoring its own training data")
        unusual = float((isolation_forest.score(forest, table) >= self._pipeline.judge.rules.alarm_score).mean())
        info = ModelInfo(
            version=self._registry.next_version(),
            created_at=self._clock.now_ms(),
            samples=len(table),
            hosts=len(chosen.hosts),
            simulated=chosen.simulated,
            start=chosen.start,
            stop=chosen.stop,
            reason=reason,
            seconds=round(self._clock.monotonic() - started, 2),
            unusual_share=round(unusual, 5),
        )
        self._registry.save(info, forest)
        self.activate(info.version)
        return info

    def _normal(self, chosen: TrainingSet) -> Iterator[tuple[Frame, BoolArray]]:
        """History with a mask of its normal samples: outside incidents, with a margin, and below the alarm score.

        What people call normal is, whatever its score.
        """
        spans, accepted = self._abnormal_spans(chosen), self._normal_spans(chosen)
        for parts, (frame, scores) in enumerate(self._store.scan(chosen.start, chosen.stop, chosen.hosts), 1):
            normal = normal_rows(frame, scores, spans, self._pipeline.judge.rules.alarm_score, accepted)
            self._tell(progress=min(0.1 + 0.02 * parts, 0.65))
            yield frame, normal

    def _abnormal_spans(self, chosen: TrainingSet) -> Spans:
        spans: dict[str, list[tuple[int, int]]] = {}
        for incident in self._state.incidents(chosen.start, chosen.stop, limit=10_000):
            if not _is_normal_history(incident):
                stop = incident.resolved_at or chosen.stop
                spans.setdefault(incident.host, []).append((incident.opened_at - MARGIN_MS, stop + MARGIN_MS))
        return spans

    def _normal_spans(self, chosen: TrainingSet) -> Spans:
        spans: dict[str, list[tuple[int, int]]] = {}
        for incident in self._state.incidents(chosen.start, chosen.stop, limit=10_000):
            if _is_normal_history(incident):
                spans.setdefault(incident.host, []).append((incident.opened_at, incident.resolved_at or chosen.stop))
        return spans

    def _use(self, version: int) -> None:
        _, forest = self._registry.load(version)
        with self._pipeline.lock:
            self._pipeline.judge.scorer.use(forest, version)

    def _tell(self, **changes: Any) -> None:
        assert self.job is not None
        if changes.get("state", "running") != "running":
            changes["finished_at"] = self._clock.now_ms()
        self.job = replace(self.job, **changes)
        self._announce(self.job)


def _is_normal_history(incident: Incident) -> bool:
    """Somebody called it expected or the new normal, or said so of an earlier one about this time of day."""
    return incident.label in NORMAL_HISTORY or (incident.label is None and incident.expected_now)


def normal_rows(
    frame: Frame, scores: Scores, spans: Spans, alarm_score: float, accepted: Spans = MappingProxyType({})
) -> BoolArray:
    """[n] samples to learn from: not unusual or `accepted`, and outside the `spans` (ms UTC) of their host."""
    normal = (scores.score < alarm_score) & (scores.anomaly == 0)
    for code, host in enumerate(frame.hosts):
        for start, stop in accepted.get(host, ()):
            normal |= (frame.code == code) & (frame.time >= start) & (frame.time <= stop)
        for start, stop in spans.get(host, ()):
            normal &= ~((frame.code == code) & (frame.time >= start) & (frame.time <= stop))
    return normal


def job_view(job: Job | None) -> dict[str, Any] | None:
    """The job as JSON."""
    return asdict(job) if job is not None else None
