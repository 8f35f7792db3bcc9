"""Learning: the background job that trains a version, holds it against the one that speaks and lets the better one
speak.

One job at a time. What it computes is in `training`, `replaying` and `comparison`; who speaks is `model_life`'s.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from monitor_core.detection import comparison, drift, training
from monitor_core.detection.comparison import Comparison, Promotion
from monitor_core.detection.detectors import isolation_forest, neighbours
from monitor_core.detection.detectors.isolation_forest import Forest
from monitor_core.detection.detectors.neighbours import HostModels
from monitor_core.detection.drift import Drift
from monitor_core.detection.minute_history import minute_means
from monitor_core.detection.model_registry import ModelDamaged, ModelInfo, ModelRegistry
from monitor_core.detection.multiscale import BUCKET_MS
from monitor_core.detection.scorer import Scorer
from monitor_core.detection.training import Spans
from monitor_core.frame import BoolArray, FloatArray, Frame, IntArray
from monitor_core.incidents import Incident
from monitor_core.labels import NORMAL_HISTORY, Label
from monitor_core.metrics import CATALOGUE_TABLE
from monitor_core.scores import NEIGHBOURS, Scores
from monitor_core.service.breath import Breath
from monitor_core.service.clock import Clock
from monitor_core.service.comparing import Comparing, LabelsOf
from monitor_core.service.excluded import ExcludedSpans
from monitor_core.service.judge import Judge
from monitor_core.service.model_life import ModelLife
from monitor_core.service.pipeline import Pipeline
from monitor_core.service.training_set import TrainingSet, choose, of_own_past
from monitor_core.storage.state import StateStore
from monitor_core.storage.timeseries import StoreUnavailable, TimeSeriesStore

log = logging.getLogger("monitor.learning")

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
WINDOW_MS = 6 * HOUR_MS
MIN_ROWS, ENOUGH_ROWS = 500, 2_000
STEPS = ("reading", "features", "fitting", "comparing", "ready")
MARGIN_MS = 5 * 60_000
KEPT_OUT = (Label.REAL, Label.NEVER)


class AlreadyTraining(Exception):
    """One training at a time; `job` is the one that runs."""

    def __init__(self, job: Job) -> None:
        super().__init__(f"training {job.id} is still running")
        self.job = job


class Stopped(Exception):
    """The service ends, and with it the training."""


@dataclass(frozen=True, slots=True)
class Job:
    """A training, as pages see it. Times ms UTC; `promotion` says what became of the version."""

    id: int
    state: str
    step: str
    progress: float
    message: str
    started_at: int
    finished_at: int | None = None
    version: int | None = None
    kind: str = "train"
    promotion: Promotion | None = None


@dataclass(slots=True)
class LabelledSamples:
    """How many samples of a training are learned from because of labels, and how many are in incidents marked as real
    or never, which none is."""

    added: int = 0
    left_out: int = 0


class Learning:
    """`announce` gets every change of the job; `new_judge` makes one with the rules that hold and an empty memory."""

    def __init__(
        self,
        pipeline: Pipeline,
        state: StateStore,
        store: TimeSeriesStore,
        registry: ModelRegistry,
        clock: Clock,
        announce: Callable[[Job], None],
        spacing_ms: int,
        interval_ms: int,
        new_judge: Callable[[], Judge],
        labelled: LabelsOf = lambda _start, _stop: (),
    ) -> None:
        self._pipeline, self._state, self._store = pipeline, state, store
        self._registry, self._clock, self._announce = registry, clock, announce
        self._spacing_ms, self._interval_ms = spacing_ms, interval_ms
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._jobs = 0
        self._stopping = threading.Event()
        self._breath = Breath(lambda: pipeline.is_scoring)
        self._unreadable: str | None = None
        self.job: Job | None = None
        self.life = ModelLife(registry, state, clock, self._let_speak)
        self.excluded = ExcludedSpans(state)
        self.comparing = Comparing(
            state, store, registry, interval_ms, new_judge, labelled, self._pause, self._compared
        )

    @property
    def active(self) -> int:
        return self._pipeline.judge.scorer.model_version

    @property
    def damaged(self) -> str | None:
        """Which version's files are not what was written; None: all that were looked at are whole."""
        return self.life.damaged or self._unreadable

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
                self._unreadable = str(error)
        return found

    def comparison(self, version: int) -> Comparison | None:
        """How the version compares with the one that spoke when it was trained; None: unknown."""
        try:
            return self._registry.comparison(version)
        except ModelDamaged as error:
            self._unreadable = str(error)
            return None

    def drift(self) -> Drift | None:
        """Does the active version still see what it was trained on? None when there is none."""
        try:
            trained = self._registry.info(self.active).votes if self.active else None
        except ModelDamaged:
            return None
        champion = self.life.champion
        if trained is None or champion is None:
            return None
        now, spread = self._clock.now_ms(), self._pipeline.vote_spread
        hour, day = (spread.counts(self.active, now - span) for span in (HOUR_MS, DAY_MS))
        alarm_score = self._pipeline.judge.rules.alarm_score
        return drift.judge(np.array(trained, dtype=np.int64), hour, day, alarm_score, now - champion.since)

    def load_active(self) -> None:
        """At the start: the version that spoke last, or another one that is whole."""
        self.life.restore()

    def activate(self, version: int) -> None:
        """Let this version speak from now on. Raises ModelDamaged; then nothing changes."""
        self.life.promote(version)

    def start(self, reason: str, *, ask: bool = False) -> Job:
        """Begin a training in the background; `ask`: the new version waits for a person. Raises AlreadyTraining."""
        with self._lock:
            if self.job is not None and self.job.state == "running":
                raise AlreadyTraining(self.job)
            self._jobs += 1
            now = self._clock.now_ms()
            self.job = Job(self._jobs, "running", "reading", 0.02, "reading history", now)
            self._thread = threading.Thread(target=self._run, args=(reason, ask), name="training", daemon=True)
            self._thread.start()
            return self.job

    def stop(self) -> None:
        """Give up the training that runs, within its next small piece of work, and any that begins later."""
        self._stopping.set()

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
        names, simulated = choose(list(self._pipeline.known.values()), now)
        if not names:
            return None
        return TrainingSet(names, simulated, now - max(WINDOW_MS, int(ENOUGH_ROWS * self._usual_gap_ms(names))), now)

    def _usual_gap_ms(self, hosts: Sequence[str]) -> float:
        """Between two samples of the host that speaks most often; 0: not known."""
        state = self._pipeline.judge.scorer.state
        with self._pipeline.lock:
            rows = [row for host in hosts if (row := state.find(host)) is not None]
            gaps = state.gap_ms(np.array(rows, dtype=np.int64)) if rows else np.zeros(0)
        return float(np.nan_to_num(np.fmin.reduce(gaps, initial=np.nan)))

    def _run(self, reason: str, ask: bool) -> None:
        try:
            labelled = LabelledSamples()
            info, chosen = self._train(reason, labelled)
            promotion, why = self._promote(info, chosen, labelled, ask)
            hosts = "1 host" if info.hosts == 1 else f"{info.hosts} hosts"
            text = f"Learned from {info.samples:,} normal samples of {hosts}; {why}"
            done = {"version": info.version, "promotion": promotion}
            self._tell(state="done", step="ready", progress=1.0, message=text, **done)
        except training.TooLittleHistory as error:
            self._tell(state="failed", message=str(error))
        except StoreUnavailable as error:
            self._tell(state="failed", message=f"The history cannot be read: {error}.")
        except Exception as error:  # the page shows it; the version that speaks goes on
            if self._stopping.is_set():  # also when a file was closed under a training that did not end in time
                log.info("the training was given up: the service ends")
                self._tell(state="failed", message="The service ended before the training did.")
                return
            log.exception("training failed")
            self._tell(state="failed", message=f"Training failed: {type(error).__name__}: {error}")

    def _pause(self) -> None:
        if self._stopping.is_set():
            raise Stopped
        self._breath()

    def _train(self, reason: str, labelled: LabelledSamples) -> tuple[ModelInfo, TrainingSet]:
        started = self._clock.monotonic()
        chosen = self.training_set()
        if chosen is None:
            raise training.TooLittleHistory(self.why_not())
        self._tell(step="features", progress=0.05, message="computing features")
        table = training.thin(training.feature_table(self._normal(chosen, labelled), self._spacing_ms, self._pause))
        if len(table) < MIN_ROWS:
            raise training.TooLittleHistory(f"Only {len(table)} normal samples after warm-up; {MIN_ROWS} are needed.")
        self._tell(step="fitting", progress=0.4, message=f"fitting {training.TREES} trees to {len(table):,} samples")
        forest = training.fit(table, pause=self._pause)
        unusual, votes = self._own_votes(forest, table)
        self._tell(progress=0.5, message="comparing every host with its own past")
        models = self._models(chosen)
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
            votes=votes,
        )
        self._registry.save(info, forest, {NEIGHBOURS: models.arrays()} if models else None)
        return info, chosen

    def _models(self, chosen: TrainingSet) -> HostModels | None:
        """What every host usually does, from up to three weeks of minutes; real hosts first."""
        now = chosen.stop
        hosts = of_own_past(list(self._pipeline.known.values()), now)
        past = replace(chosen, hosts=tuple(hosts), start=now - neighbours.HISTORY_MS)
        minutes = ((host, self._minutes(host, past)) for host in hosts)
        return training.host_models(minutes, self._abnormal_spans(past), CATALOGUE_TABLE, self._pause)

    def _minutes(self, host: str, past: TrainingSet) -> tuple[IntArray, FloatArray]:
        found = self._store.series(host, past.start, past.stop, neighbours.HISTORY_MS // BUCKET_MS + 1)
        return minute_means(found.time, found.mean)

    def has_grown(self) -> bool:
        """Has some host twice the history that the version that speaks knows of it? For its first day, once an hour."""
        newest = self._registry.versions()[-1:]
        if not self.active or not newest:
            return False
        since = self._clock.now_ms() - self._registry.info(newest[0]).created_at
        models = self._pipeline.judge.scorer.models
        ages = {host.name: self._clock.now_ms() - host.first_sample for host in self._pipeline.known.values()}
        fitted = {host: age - since for host, age in ages.items() if models and host in models.hosts}
        grown = [neighbours.is_due(age, max(fitted.get(host, 0), 0)) for host, age in ages.items() if age <= DAY_MS]
        return since >= HOUR_MS and any(grown)

    def _own_votes(self, forest: Forest, table: FloatArray) -> tuple[float, tuple[int, ...]]:
        """What the forest makes of its own training rows: the share that is unusual, and how its votes are spread."""
        votes = training.scored(isolation_forest.score, forest, table, self._pause)
        counts = drift.count(drift.voiced(votes, table))
        return float((votes >= self._pipeline.judge.rules.alarm_score).mean()), tuple(counts.tolist())

    def _promote(
        self, info: ModelInfo, chosen: TrainingSet, labelled: LabelledSamples, ask: bool
    ) -> tuple[Promotion, str]:
        """Compare it with the version that speaks and let the better one speak; returns why, for people too."""
        found, pair = None, (self.active, info.version)
        if self.active:
            self._tell(step="comparing", progress=0.6, message=f"comparing version {pair[1]} with {pair[0]}")
            found = self.comparing.compare(pair, chosen, (labelled.added, labelled.left_out))
        if found is not None:
            self._registry.attach(info.version, found)
            ask = ask or found.champion.version != self.active  # meanwhile somebody chose another one
        promotion = comparison.decide(found, is_first=not self.active, ask=ask)
        self.life.introduce(info.version, promotion)
        self.life.prune()
        return promotion, comparison.sentence(promotion, found)

    def _normal(self, chosen: TrainingSet, labelled: LabelledSamples) -> Iterator[tuple[Frame, BoolArray]]:
        """History with a mask of its normal samples: outside incidents, with a margin, outside what was excluded, and
        below the alarm score. What people call normal is, whatever its score. `labelled` counts what that changes."""
        alarm_score, spans = self._pipeline.judge.rules.alarm_score, self._abnormal_spans(chosen)
        accepted = self._spans(chosen, _is_normal_history)
        unlabelled = self._spans(chosen, lambda _: True, MARGIN_MS, self.excluded.spans(chosen.hosts))
        kept_out = self._spans(chosen, lambda incident: incident.label in KEPT_OUT, MARGIN_MS)
        for parts, (frame, scores) in enumerate(self._store.scan(chosen.start, chosen.stop, chosen.hosts), 1):
            normal = normal_rows(frame, scores, spans, alarm_score, accepted)
            if accepted:
                labelled.added += int((normal & ~normal_rows(frame, scores, unlabelled, alarm_score)).sum())
            labelled.left_out += int(inside(frame, kept_out).sum())
            self._tell(progress=min(0.05 + 0.02 * parts, 0.39))
            yield frame, normal

    def _abnormal_spans(self, chosen: TrainingSet) -> Spans:
        return self._spans(
            chosen,
            lambda incident: not _is_normal_history(incident),
            MARGIN_MS,
            self.excluded.spans(chosen.hosts),
        )

    def _spans(
        self, chosen: TrainingSet, wanted: Callable[[Incident], bool], margin: int = 0, besides: Spans | None = None
    ) -> Spans:
        """When (ms UTC, by host) such incidents lasted, with a margin around them; `besides`: spans to add to."""
        spans = {host: list(found) for host, found in (besides or {}).items()}
        for incident in self._state.incidents(chosen.start, chosen.stop, limit=10_000):
            if wanted(incident):
                stop = incident.resolved_at or chosen.stop
                spans.setdefault(incident.host, []).append((incident.opened_at - margin, stop + margin))
        return spans

    def _compared(self, share: float) -> None:
        self._tell(progress=round(0.6 + 0.37 * share, 3))

    def _let_speak(self, own_voice: Callable[[Scorer], None]) -> None:
        with self._pipeline.lock:
            own_voice(self._pipeline.judge.scorer)

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
    return (normal | inside(frame, accepted)) & ~inside(frame, spans)


def inside(frame: Frame, spans: Spans) -> BoolArray:
    """[n] samples in one of the spans (ms UTC) of their host."""
    found = np.zeros(len(frame), dtype=np.bool_)
    for code, host in enumerate(frame.hosts):
        for start, stop in spans.get(host, ()):
            found |= (frame.code == code) & (frame.time >= start) & (frame.time <= stop)
    return found


def job_view(job: Job | None) -> dict[str, Any] | None:
    """The job as JSON."""
    return asdict(job) if job is not None else None
