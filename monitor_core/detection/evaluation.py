"""Evaluation: how good scores and alarms are against the truth (pure).

VUS-PR (Paparrizos et al. 2022) judges the ranking of the scores. Events judge the alarms, without point-adjustment:
alarms closer than `GAP` samples are one episode; an event is found when an alarm falls between its first sample and
`TOLERANCE` samples after its last; an episode outside all events is a false alarm, and one more every `AGAIN` samples,
so that a detector that is always on is punished. Precision is found episodes / (found + false).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from monitor_core.frame import BoolArray, FloatArray, IntArray

GAP, TOLERANCE, AGAIN = 10, 5, 60
WINDOW, THRESHOLDS = 100, 250
DAY_S, HOUR_S = 86_400.0, 3_600.0
NAMED_AMONG = 3


@dataclass(frozen=True, slots=True)
class Event:
    """Something that really happened: rows `first` to `last` of a series, both included.

    `culprits` are the places of the metrics that made it; empty: nobody knows. Nobody wants an alarm of a benign one.
    """

    first: int
    last: int
    kind: str = "event"
    culprits: frozenset[int] = frozenset()
    benign: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """One host: `score` [n], `alarm` [n], `contributions` [n, m] and its `events` in order; rows before `start` are
    not judged. `step_s`: seconds from row to row."""

    score: FloatArray
    alarm: BoolArray
    contributions: FloatArray
    events: tuple[Event, ...]
    step_s: float
    start: int = 0


class Outcome(NamedTuple):
    """What became of one event: `delay_s` None when it was missed, `rank` of the first true culprit (None: unknown)."""

    kind: str
    delay_s: float | None
    rank: int | None


class Counts(NamedTuple):
    """Outcomes of events, episodes that found one, false alarms (those during something benign too), normal time."""

    outcomes: tuple[Outcome, ...]
    good: int
    false: int
    false_benign: int
    normal_s: float


class Measures(NamedTuple):
    """The figures of one kind of event, or of all (`kind` "all"); what does not exist is NaN."""

    kind: str
    events: int
    precision: float
    recall: float
    f1: float
    false_per_day: float
    false_per_hour: float
    delay_s: float
    top1: float
    top3: float


def vus_pr(label: BoolArray, score: FloatArray, window: int = WINDOW) -> float:
    """Volume under the precision-recall surface over all tolerances 0..window; NaN without a labelled row.

    Thresholds lie at 250 evenly spaced ranks, as in TSB-AD.
    """
    if not label.any():
        return float("nan")
    ordered = -np.sort(-score)
    thresholds = ordered[np.linspace(0, len(score) - 1, THRESHOLDS).astype(np.int64)]
    # place of the highest threshold that a row reaches, and how many rows reach each threshold
    rank = np.searchsorted(-thresholds, -score, side="left")
    predicted = np.searchsorted(-ordered, -thresholds, side="right").astype(np.float64)
    first, last = _runs(label)
    areas = [_pr_area(label, rank, predicted, first, last, width) for width in range(window + 1)]
    return float(np.mean(areas))


def _pr_area(
    label: BoolArray, rank: IntArray, predicted: FloatArray, first: IntArray, last: IntArray, width: int
) -> float:
    soft = _softened(label, first, last, width)
    hits = np.bincount(rank, weights=soft, minlength=THRESHOLDS).cumsum()
    around = np.bincount(rank, weights=np.where(label, 0.0, soft), minlength=THRESHOLDS).cumsum()
    positives = (2.0 * label.sum() + around) / 2
    left, right = _merged(first, last, width // 2, len(label))
    bounds = np.stack([left, right + 1], axis=1).ravel()
    # reduceat wants its last bound inside the array
    earliest = np.minimum.reduceat(np.append(rank, THRESHOLDS), bounds)[::2]
    seen = np.bincount(earliest, minlength=THRESHOLDS + 1)[:THRESHOLDS].cumsum() / len(left)
    recall = np.minimum(hits / positives, 1.0) * seen
    return float((np.diff(recall, prepend=0.0) * hits / predicted).sum())


def _softened(label: BoolArray, first: IntArray, last: IntArray, width: int) -> FloatArray:
    """Labels that fade out over half of `width` on both sides of each run."""
    soft = label.astype(np.float64)
    away = np.arange(1, width // 2 + 1)
    if len(away):
        fade = np.broadcast_to(np.sqrt(1 - away / width), (len(first), len(away)))
        for places in (last[:, None] + away, first[:, None] - away):
            inside = (places >= 0) & (places < len(label))
            np.add.at(soft, places[inside], fade[inside])
    return np.minimum(soft, 1.0)


def _merged(first: IntArray, last: IntArray, reach: int, n: int) -> tuple[IntArray, IntArray]:
    """Runs that touch when each is `reach` wider on both sides are one."""
    apart = first[1:] - reach > last[:-1] + reach
    left = first[np.r_[True, apart]] - reach
    right = last[np.r_[apart, True]] + reach
    return np.maximum(left, 0), np.minimum(right, n - 1)


def _runs(mask: BoolArray, gap: int = 1) -> tuple[IntArray, IntArray]:
    """First and last place of each run of true ones; runs up to `gap` apart are one."""
    places = np.flatnonzero(mask)
    breaks = np.diff(places) > gap
    edge = np.ones(min(len(places), 1), dtype=np.bool_)
    return places[np.concatenate([edge, breaks])], places[np.concatenate([breaks, edge])]


def label_of(series: Series) -> BoolArray:
    """[n] rows inside an event that is worth an alarm."""
    label = np.zeros(len(series.score), dtype=np.bool_)
    for event in series.events:
        if not event.benign:
            label[event.first : event.last + 1] = True
    return label


def ranking(series: Series) -> float:
    """VUS-PR of the rows that are judged; NaN when there is no event among them."""
    return vus_pr(label_of(series)[series.start :], series.score[series.start :])


def count(series: Series) -> Counts:
    """Match alarms and events of one host."""
    alarm = series.alarm.copy()
    alarm[: series.start] = False
    first, last = _runs(alarm, GAP)
    good = np.zeros(len(first), dtype=np.bool_)
    outside, normal = alarm.copy(), len(alarm) - series.start
    outcomes = []
    judged = [event for event in series.events if event.last >= series.start]
    for event in (e for e in judged if not e.benign):
        begin, end = max(event.first, series.start), min(event.last + TOLERANCE, len(alarm) - 1)
        hits = begin + np.flatnonzero(alarm[begin : end + 1])
        outside[event.first : end + 1] = False
        normal -= event.last - begin + 1
        if len(hits):
            good |= (first <= end) & (last >= begin)
        outcomes.append(_outcome(series, event, begin, hits))
    false = _false(outside, first, last, good)
    benign = _inside([e for e in judged if e.benign], first, last)
    seconds = max(normal, 1) * series.step_s
    return Counts(tuple(outcomes), int(good.sum()), int(false.sum()), int(false[benign].sum()), seconds)


def _outcome(series: Series, event: Event, begin: int, hits: IntArray) -> Outcome:
    if not len(hits):
        return Outcome(event.kind, None, None)
    delay = float(hits[0] - begin) * series.step_s
    if not event.culprits:
        return Outcome(event.kind, delay, None)
    ranked = np.argsort(-series.contributions[hits[0]], kind="stable").tolist()
    return Outcome(event.kind, delay, 1 + min(ranked.index(metric) for metric in event.culprits))


def _false(outside: BoolArray, first: IntArray, last: IntArray, good: BoolArray) -> IntArray:
    """How many false alarms each episode is."""
    total = np.concatenate([[0], np.cumsum(outside)])
    rows = total[last + 1] - total[first]
    return np.where(good, rows // AGAIN, -(-rows // AGAIN))


def _inside(events: Sequence[Event], first: IntArray, last: IntArray) -> BoolArray:
    touched = np.zeros(len(first), dtype=np.bool_)
    for event in events:
        touched |= (first <= event.last + TOLERANCE) & (last >= event.first)
    return touched


def total(parts: Sequence[Counts]) -> Counts:
    """The counts of all hosts together."""
    return Counts(
        tuple(outcome for part in parts for outcome in part.outcomes),
        sum(part.good for part in parts),
        sum(part.false for part in parts),
        sum(part.false_benign for part in parts),
        sum(part.normal_s for part in parts),
    )


def measures(counts: Counts) -> list[Measures]:
    """One row for all events, then one for each kind. A false alarm has no kind: precision is that of all."""
    spoke = counts.good + counts.false
    precision = counts.good / spoke if spoke else float("nan")
    kinds = sorted({outcome.kind for outcome in counts.outcomes})
    rows = [_measured("all", counts.outcomes, precision, counts)]
    return rows + [_measured(kind, [o for o in counts.outcomes if o.kind == kind], precision, counts) for kind in kinds]


def _measured(kind: str, outcomes: Sequence[Outcome], precision: float, counts: Counts) -> Measures:
    found = [outcome.delay_s for outcome in outcomes if outcome.delay_s is not None]
    ranks = np.array([outcome.rank for outcome in outcomes if outcome.rank is not None])
    recall = len(found) / len(outcomes) if outcomes else float("nan")
    both = precision + recall
    return Measures(
        kind=kind,
        events=len(outcomes),
        precision=precision,
        recall=recall,
        f1=2 * precision * recall / both if both > 0 else (0.0 if both == 0 else float("nan")),
        false_per_day=counts.false / counts.normal_s * DAY_S,
        false_per_hour=counts.false / counts.normal_s * HOUR_S,
        delay_s=float(np.median(found)) if found else float("nan"),
        top1=float((ranks == 1).mean()) if len(ranks) else float("nan"),
        top3=float((ranks <= NAMED_AMONG).mean()) if len(ranks) else float("nan"),
    )
