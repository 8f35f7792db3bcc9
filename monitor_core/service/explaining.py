"""Explaining: why a host's sample is unusual, since when, and with what values it would not be; now or in its past."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from monitor_core.detection import alert_budget, explanation
from monitor_core.detection.alert_budget import BudgetState, Sample
from monitor_core.detection.detectors.robust_z import score_of
from monitor_core.detection.scorer import Scorer
from monitor_core.detection.unusual import Bar, is_unusual
from monitor_core.detection.votes import distance_of
from monitor_core.frame import BoolArray, FloatArray, Frame, make_frame
from monitor_core.incidents import Incident
from monitor_core.scores import DETECTORS, IN_WORDS, Scores
from monitor_core.service.decisions import counterfactual_of
from monitor_core.service.history import History
from monitor_core.service.judge import Judge
from monitor_core.storage.timeseries import Tier

HOUR_MS = 3_600_000
LEARNED_FROM_MS = HOUR_MS + 900_000  # the hour of a baseline, and the run that began in it
MOST_SAMPLES = 10_000


class NothingKept(Exception):
    """There are no samples of that time; the message says why."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One scored sample of one host; `bar` says from where on it counts, `since` ms UTC where it is unusual."""

    scorer: Scorer
    frame: Frame
    scores: Scores
    row: int
    bar: Bar
    since: int | None


def reasons(asked: Asked) -> dict[str, Any]:
    """The bar as a score, detector, since when and what would be normal; empty values where it is not unusual."""
    told = {"unusual_from": round(float(score_of(np.asarray(asked.bar.distance))), 3), "since": asked.since}
    if asked.since is None:
        return told | {"detector": None, "detector_in_words": None, "counterfactual": None}
    detector = explanation.loudest(asked.scores, asked.row)
    return told | {
        "detector": detector,
        "detector_in_words": IN_WORDS[detector] if detector else None,
        "counterfactual": counterfactual_of(asked.scorer, asked.frame, asked.scores, asked.row, asked.bar),
    }


def now_of(judge: Judge, frame: Frame) -> Asked:
    """Sample 0 of `frame` against what is known of its host now. Under the pipeline's lock."""
    scores, (host, at) = judge.scorer.peek(frame), (frame.hosts[0], int(frame.time[0]))
    bar = judge.bar(host, at, simulated=bool(frame.simulated[0]))
    return Asked(judge.scorer, frame, scores, 0, bar, judge.since(host, at) if is_unusual(scores, bar)[0] else None)


def past_of(history: History, judge: Judge, host: str, at: int, incident: Incident | None) -> Asked:
    """The newest sample of a host at or before `at`, against the hour before it. Raises NothingKept.

    What the detectors knew then is gone, so an empty scorer learns that hour again from the store; what needs a day of
    a host (stuck, the slowest trends) says nothing. A sample counts from where it did in its `incident`, else (None)
    from where it would by the host's threshold of now.
    """
    scorer, rules = judge.scorer.with_empty_memory(), judge.rules
    series = history.series(host, at - LEARNED_FROM_MS, at + 1, MOST_SAMPLES)
    if not len(series.time):
        raise NothingKept("No sample of that host is kept from the hour before that time.")
    if series.bucket_ms or series.tier not in (Tier.RAW, Tier.JOURNAL):
        raise NothingKept(
            "Of that time only means are kept; samples are explained as long as they are kept one by one."
        )
    frame = make_frame(series.time, [host] * len(series.time), series.mean)
    scores = scorer.score(frame)
    if incident is not None and incident.unusual_from is not None:
        distance = np.full(len(frame), distance_of(np.array([incident.unusual_from]))[0])
    else:
        distance = _bars(judge, frame, scores.distance)
    since = run_start(frame, is_unusual(scores, Bar(distance, rules.alarm_score)), rules.alarm_window)
    return Asked(scorer, frame, scores, len(frame) - 1, Bar(float(distance[-1]), rules.alarm_score), since)


def _bars(judge: Judge, frame: Frame, distance: FloatArray) -> FloatArray:
    """[n] from where on each sample of this one host would have counted, by its threshold of now."""
    past, yes, found = BudgetState(), np.array([True]), []
    row, known = past.rows(frame.hosts), judge.spending.find(frame.hosts[0])
    past.threshold[row] = np.nan if known is None else judge.spending.threshold[known]
    for time, far in zip(frame.time[:, None], distance[:, None], strict=True):
        found.append(alert_budget.unusual_from(past, judge.budget, row, time, yes)[0])
        alert_budget.watch(past, judge.budget, Sample(row, time, far, ~yes, yes))
    return np.array(found)


def view(asked: Asked) -> dict[str, Any]:
    """The whole explanation as JSON, metrics by contribution."""
    scorer, frame, scores, row = asked.scorer, asked.frame, asked.scores, asked.row
    host = frame.hosts[frame.code[row]]
    found = explanation.evidence(frame.values, scores, scorer.limits_of([host])[0], row)
    votes = zip(DETECTORS, scores.by_detector[row].tolist(), strict=True)
    return {
        "host": host,
        "time": int(frame.time[row]),
        "prediction": "normal" if asked.since is None else "anomaly",
        "score": float(scores.score[row]),
        "warming_up": not bool(scores.warm[row]),
        "model_version": scores.model_version,
        "detectors": {name: None if np.isnan(vote) else vote for name, vote in votes},
        "sentence": explanation.detail(found, explanation.slow(frame.values, scores, row)),
        "evidence": [asdict(item) for item in found],
        **reasons(asked),
    }


def run_start(frame: Frame, unusual: BoolArray, window: int) -> int | None:
    """When (ms UTC) the run of unusual samples began that the last one is part of; None when that one is normal."""
    if not unusual[-1]:
        return None
    places = np.flatnonzero(unusual)
    breaks = np.flatnonzero(np.diff(places) >= window)
    return int(frame.time[places[breaks[-1] + 1 if len(breaks) else 0]])
