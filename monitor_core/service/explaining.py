"""Explaining: why a host's sample is unusual, since when, and with what values it would not be; now or in its past."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from monitor_core.detection import explanation
from monitor_core.detection.incident_policy import Rules
from monitor_core.detection.scorer import Scorer
from monitor_core.frame import BoolArray, Frame, make_frame
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
    """One scored sample of one host; `since` ms UTC where it is unusual."""

    scorer: Scorer
    frame: Frame
    scores: Scores
    row: int
    since: int | None


def reasons(scorer: Scorer, frame: Frame, scores: Scores, row: int, rules: Rules, since: int | None) -> dict[str, Any]:
    """Detector, since when and what would be normal; empty values for a sample that is not unusual."""
    if since is None:
        return {"since": None, "detector": None, "detector_in_words": None, "counterfactual": None}
    detector = explanation.loudest(scores, row)
    return {
        "since": since,
        "detector": detector,
        "detector_in_words": IN_WORDS[detector] if detector else None,
        "counterfactual": counterfactual_of(scorer, frame, scores, row, rules.alarm_score),
    }


def now_of(judge: Judge, frame: Frame) -> Asked:
    """Sample 0 of `frame` against what is known of its host now. Under the pipeline's lock."""
    scores = judge.scorer.peek(frame)
    is_unusual = bool(unusual(scores, judge.rules)[0])
    since = judge.since(frame.hosts[0], int(frame.time[0])) if is_unusual else None
    return Asked(judge.scorer, frame, scores, 0, since)


def past_of(history: History, scorer: Scorer, rules: Rules, host: str, at: int) -> Asked:
    """The newest sample of a host at or before `at`, against the hour before it. Raises NothingKept.

    What the detectors knew then is gone, so an empty scorer learns that hour again from the store; what needs a day of
    a host (stuck, the slowest trends) says nothing.
    """
    series = history.series(host, at - LEARNED_FROM_MS, at + 1, MOST_SAMPLES)
    if not len(series.time):
        raise NothingKept("No sample of that host is kept from the hour before that time.")
    if series.bucket_ms or series.tier not in (Tier.RAW, Tier.JOURNAL):
        raise NothingKept(
            "Of that time only means are kept; samples are explained as long as they are kept one by one."
        )
    frame = make_frame(series.time, [host] * len(series.time), series.mean)
    scores = scorer.score(frame)
    last = len(frame) - 1
    return Asked(scorer, frame, scores, last, run_start(frame, unusual(scores, rules), rules.alarm_window))


def view(asked: Asked, rules: Rules) -> dict[str, Any]:
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
        **reasons(scorer, frame, scores, row, rules, asked.since),
    }


def unusual(scores: Scores, rules: Rules) -> BoolArray:
    """[n] which samples count at the alarm score; a host's own threshold, by its alert budget, may lie elsewhere."""
    return (scores.score >= rules.alarm_score) | scores.breach.any(axis=1)


def run_start(frame: Frame, is_unusual: BoolArray, window: int) -> int | None:
    """When (ms UTC) the run of unusual samples began that the last one is part of; None when that one is normal."""
    if not is_unusual[-1]:
        return None
    places = np.flatnonzero(is_unusual)
    breaks = np.flatnonzero(np.diff(places) >= window)
    return int(frame.time[places[breaks[-1] + 1 if len(breaks) else 0]])
