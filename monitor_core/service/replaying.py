"""Replaying: model versions judge the same stored samples, each with a judge of its own that knew nothing before."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from monitor_core.detection.comparison import Flagged
from monitor_core.frame import Frame, IntArray
from monitor_core.incidents import Incident, Kind
from monitor_core.labels import Label, Labelled
from monitor_core.service.judge import Judge
from monitor_core.storage.state import Decided

MOST_SAMPLES, MOST_ROUNDS = 200_000, 7_200  # a round costs the same for one host as for fifty
ROUNDS_AT_ONCE = 5


@dataclass(frozen=True, slots=True)
class Replay:
    """What each judge would have opened, and over how many samples of how many hosts; [start, stop) in ms UTC."""

    start: int
    stop: int
    hosts: int
    samples: int
    flagged: tuple[tuple[Flagged, ...], ...]


class Judging(Protocol):
    """What judges samples in a replay."""

    def samples(self, frame: Frame, arrived: IntArray, out: Decided) -> object: ...


class Taught:
    """A judge that knew the labels from the start. What a label did once, because its incident was going on or its
    alert counted, it does again to the same incident of the replay."""

    def __init__(self, judge: Judge, labels: Sequence[Labelled]) -> None:
        judge.adopt([], max((record.incident for record in labels), default=0), 0)  # numbers of their own
        for record in labels:
            judge.labelled(record)
        self._judge = judge
        self._real = [record for record in labels if record.label is Label.REAL]
        self._new = [record for record in labels if record.label is Label.NEW_NORMAL and record.relearned]

    def samples(self, frame: Frame, arrived: IntArray, out: Decided) -> None:
        """As `Judge.samples`."""
        self._judge.samples(frame, arrived, out)
        for incident in out.incidents:
            if not incident.is_open and any(_is_same(record, incident) for record in self._real):
                self._judge.forgive(incident)
        for record in [record for record in self._new if record.at <= frame.time.max()]:
            self._new.remove(record)
            current = self._judge.desk.open.get((record.host, Kind.ABNORMAL))
            if current is not None and _is_same(record, current):
                self._judge.relearn(current)


def _is_same(record: Labelled, incident: Incident) -> bool:
    """Do they overlap? While it is not known when one ended, it lasts."""
    ended, over = record.resolved_at or record.at, incident.resolved_at
    return record.host == incident.host and incident.opened_at <= ended and (over is None or record.opened_at <= over)


def reach_ms(hosts: int, interval_ms: int, longest_ms: int) -> int:
    """How far back a replay may go so that it has about `MOST_SAMPLES` samples and `MOST_ROUNDS` of each host."""
    return min(longest_ms, MOST_SAMPLES * interval_ms // max(hosts, 1), MOST_ROUNDS * interval_ms)


def replay(parts: Iterable[Frame], judges: Sequence[Judging], pause: Callable[[], None]) -> Replay | None:
    """`parts` of a store, each host's samples in order of time; None when there is no sample."""
    incidents: list[dict[int, Incident]] = [{} for _ in judges]
    seen: set[str] = set()
    samples, first, last = 0, None, 0
    for frame in _few(parts):
        for judge, own in zip(judges, incidents, strict=True):
            out = Decided()
            judge.samples(frame, frame.time, out)
            own.update((incident.id, incident) for incident in out.incidents)
            pause()
        seen.update(frame.hosts[code] for code in np.unique(frame.code).tolist())
        samples += len(frame)
        first = int(frame.time.min()) if first is None else min(first, int(frame.time.min()))
        last = max(last, int(frame.time.max()))
    if first is None:
        return None
    flagged = tuple(tuple(_flagged(incident, last) for incident in own.values()) for own in incidents)
    return Replay(first, last + 1, len(seen), samples, flagged)


def _few(parts: Iterable[Frame]) -> Iterator[Frame]:
    """A few samples of each host at a time, so that others get their turn between them."""
    left = MOST_SAMPLES * 3 // 2  # hosts may send more often than they should
    for part in parts:
        step = ROUNDS_AT_ONCE * max(len(part.hosts), 1)
        for begin in range(0, len(part), step):
            rows = np.arange(begin, min(begin + step, len(part)))
            left -= len(rows)
            if left < 0:
                return
            yield part.take(rows)


def _flagged(incident: Incident, last: int) -> Flagged:
    stop = last if incident.resolved_at is None else incident.resolved_at
    metric = incident.evidence[0].metric if incident.evidence else ""
    return Flagged(incident.host, incident.opened_at, stop, metric, incident.peak_score, incident.told)
