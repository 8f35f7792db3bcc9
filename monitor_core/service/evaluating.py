"""Evaluating: recorded or simulated samples go the way that live ones go, and what came out is held against the truth.

The judge is the service's own, fed tick by tick, with the silence watch beside it and, if wanted, a forest that is
trained after the first hour and then every day, as the service does. Nothing is stored or sent.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from monitor_core.detection import evaluation, training
from monitor_core.detection.detectors import neighbours
from monitor_core.detection.detectors.neighbours import HostModels
from monitor_core.detection.evaluation import TOLERANCE, Counts, Event, Outcome, Series
from monitor_core.detection.minute_history import MinuteHistory
from monitor_core.detection.training import Spans
from monitor_core.frame import FloatArray, Frame, IntArray, concat
from monitor_core.incidents import Incident, Kind
from monitor_core.metrics import METRICS
from monitor_core.scores import Scores, concat_scores
from monitor_core.service.judge import Judge
from monitor_core.service.learning import MARGIN_MS, MIN_ROWS, WINDOW_MS, normal_rows
from monitor_core.storage.state import Decided

SILENCE = "silence"
PART_TICKS = 200


@dataclass(frozen=True, slots=True)
class Truth:
    """What really happened to one host in [start, stop), ms UTC. A benign one is nothing to be woken for."""

    host: str
    start: int
    stop: int
    kind: str
    culprits: tuple[str, ...] = ()
    benign: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """What came out: one row a sample (`code` into `hosts`), and every incident as it stood last."""

    hosts: tuple[str, ...]
    code: npt.NDArray[np.int32]
    time: IntArray
    score: FloatArray
    alarm: npt.NDArray[np.bool_]
    contributions: npt.NDArray[np.float32]
    incidents: list[Incident]


@dataclass(frozen=True, slots=True, eq=False)
class Verdict:
    """The figures: `vus_pr` is the mean over hosts with events, `false_incidents` lie outside all events."""

    counts: Counts
    vus_pr: float
    hosts: int
    samples: int
    incidents: int
    false_incidents: int
    silent_incidents: int


class Trainer:
    """Keeps the last hours and gives the judge a new forest when one is due."""

    def __init__(self, judge: Judge, spacing_ms: int) -> None:
        self._judge, self._spacing_ms = judge, spacing_ms
        self._kept: deque[tuple[Frame, Scores]] = deque()
        self._minutes = MinuteHistory()
        self._began: int | None = None
        self._fitted_ms = 0
        self._version = 0

    def take(self, frame: Frame, scores: Scores, incidents: Iterable[Incident]) -> None:
        """Samples in order of time with their scores, and the incidents so far."""
        now = int(frame.time.max())
        self._began = int(frame.time.min()) if self._began is None else self._began
        self._minutes.take(frame)
        self._kept.append((frame, scores))
        while self._kept[0][0].time.max() < now - WINDOW_MS:
            self._kept.popleft()
        if neighbours.is_due(now - self._began, self._fitted_ms):
            self._fitted_ms = now - self._began
            self._train(list(incidents), now)

    def _train(self, incidents: list[Incident], now: int) -> None:
        spans: dict[str, list[tuple[int, int]]] = {}
        for found in incidents:
            stop = found.resolved_at or now
            spans.setdefault(found.host, []).append((found.opened_at - MARGIN_MS, stop + MARGIN_MS))
        parts = [
            (frame, normal_rows(frame, scores, spans, self._judge.rules.alarm_score)) for frame, scores in self._kept
        ]
        table = training.thin(training.feature_table(parts, self._spacing_ms))
        if len(table) >= MIN_ROWS:
            self._version += 1
            self._judge.scorer.use(training.fit(table), self._version, self._models(spans, now))

    def _models(self, spans: Spans, now: int) -> HostModels | None:
        found = [(host, self._minutes.of(host, now)) for host in self._minutes.hosts()]
        return training.host_models(found, spans, self._judge.scorer.metrics)


def play(frames: Iterable[Frame], judge: Judge, interval_ms: int, trainer: Trainer | None = None) -> Judged:
    """Let the judge see all samples, a tick at a time, as if each had arrived when it was taken."""
    incidents: dict[int, Incident] = {}
    waiting: list[tuple[Frame, Scores]] = []
    done: list[tuple[Frame, FloatArray, npt.NDArray[np.bool_], npt.NDArray[np.float32]]] = []

    def pack() -> None:
        if not waiting:
            return
        frame, scores = concat([f for f, _ in waiting]), concat_scores([s for _, s in waiting])
        waiting.clear()
        done.append((frame, scores.score, scores.anomaly > 0, scores.contributions.astype(np.float32)))
        if trainer is not None:
            trainer.take(frame, scores, incidents.values())

    for frame, scores, out in _judged(frames, judge, interval_ms):
        incidents.update((incident.id, incident) for incident in out.incidents)
        waiting.append((frame, scores))
        if len(waiting) == PART_TICKS:
            pack()
    pack()
    whole = concat([part[0] for part in done])
    score, alarm, contributions = (np.concatenate([part[i] for part in done]) for i in (1, 2, 3))
    return Judged(whole.hosts, whole.code, whole.time, score, alarm, contributions, list(incidents.values()))


def _judged(frames: Iterable[Frame], judge: Judge, interval_ms: int) -> Iterator[tuple[Frame, Scores, Decided]]:
    before: int | None = None
    newest = 0
    for frame, tick in _ticks(frames, interval_ms):
        out = Decided()
        if before is not None:
            for quiet in range(before + 1, tick + 1):
                judge.silence(quiet * interval_ms, {}, out)
        before = tick if before is None else max(before, tick)
        arrived = np.maximum(np.maximum.accumulate(frame.time), newest)
        newest = int(arrived[-1])
        scores, _ = judge.samples(frame, arrived, out)
        yield frame, scores, out


def _ticks(frames: Iterable[Frame], interval_ms: int) -> Iterator[tuple[Frame, int]]:
    """The frames cut where the tick changes; samples of one tick in one frame stay together."""
    for frame in frames:
        tick = frame.time // interval_ms
        edges = np.flatnonzero(np.diff(tick)) + 1
        for rows in np.split(np.arange(len(frame)), edges):
            if len(rows):
                yield frame.take(rows), int(tick[rows[0]])


def compare(
    judged: Judged, truths: Sequence[Truth], interval_ms: int, judged_from: Mapping[str, int] | None = None
) -> Verdict:
    """Hold what came out against what really happened, for each host from the instant in `judged_from` (ms UTC) on."""
    begin = judged_from or {}
    counts, volumes = [], []
    for place, host in enumerate(judged.hosts):
        series = series_of(judged, place, [truth for truth in truths if truth.host == host], begin.get(host, 0))
        if len(series.score) > series.start:
            counts.append(evaluation.count(series))
            volumes.append(evaluation.ranking(series))
    grace = TOLERANCE * interval_ms
    counts.append(_silences(judged.incidents, [t for t in truths if t.kind == SILENCE], grace))
    seen = [incident for incident in judged.incidents if incident.opened_at >= begin.get(incident.host, 0)]
    abnormal = [incident for incident in seen if incident.kind is Kind.ABNORMAL]
    false = [incident for incident in abnormal if not _explained(incident, truths, grace)]
    known = [volume for volume in volumes if not np.isnan(volume)]
    return Verdict(
        counts=evaluation.total(counts),
        vus_pr=float(np.mean(known)) if known else float("nan"),
        hosts=len(judged.hosts),
        samples=len(judged.time),
        incidents=len(abnormal),
        false_incidents=len(false),
        silent_incidents=len(seen) - len(abnormal),
    )


def together(verdicts: Sequence[Verdict]) -> Verdict:
    """Several files as one; VUS-PR is the mean over files with events."""
    volumes = [verdict.vus_pr for verdict in verdicts if not np.isnan(verdict.vus_pr)]
    names = ("hosts", "samples", "incidents", "false_incidents", "silent_incidents")
    return Verdict(
        counts=evaluation.total([verdict.counts for verdict in verdicts]),
        vus_pr=float(np.mean(volumes)) if volumes else float("nan"),
        **{name: sum(getattr(verdict, name) for verdict in verdicts) for name in names},
    )


def series_of(judged: Judged, place: int, truths: Sequence[Truth], begin: int = 0) -> Series:
    """One host's rows in order of time, with the events that have rows; silence has none."""
    rows = np.flatnonzero(judged.code == place)
    rows = rows[np.argsort(judged.time[rows], kind="stable")]
    time = judged.time[rows]
    events = []
    for truth in sorted(truths, key=lambda t: t.start):
        first, stop = (int(place) for place in np.searchsorted(time, [truth.start, truth.stop]))
        if truth.kind != SILENCE and stop > first:
            culprits = frozenset(METRICS.index(key) for key in truth.culprits)
            events.append(Event(first, stop - 1, truth.kind, culprits, truth.benign))
    step = float(np.median(np.diff(time))) / 1000 if len(time) > 1 else 1.0
    shares = judged.contributions[rows].astype(np.float64)
    start = int(np.searchsorted(time, begin))
    return Series(judged.score[rows], judged.alarm[rows], shares, tuple(events), step, start)


def _silences(incidents: Sequence[Incident], truths: Sequence[Truth], grace: int) -> Counts:
    """A silence is found by an incident of its own kind. It takes no normal time and has no false alarms."""
    outcomes = []
    for truth in truths:
        opened = [
            incident.opened_at
            for incident in incidents
            if incident.kind is Kind.SILENT
            and incident.host == truth.host
            and truth.start <= incident.opened_at <= truth.stop + grace
        ]
        outcomes.append(Outcome(SILENCE, (min(opened) - truth.start) / 1000 if opened else None, None))
    found = sum(outcome.delay_s is not None for outcome in outcomes)
    return Counts(tuple(outcomes), found, 0, 0, 0.0)


def _explained(incident: Incident, truths: Sequence[Truth], grace: int) -> bool:
    return any(
        truth.host == incident.host and not truth.benign and truth.start <= incident.opened_at < truth.stop + grace
        for truth in truths
    )
