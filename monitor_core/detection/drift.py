"""Drift: does the forest still see what it was trained on? Pure.

The forest's votes on live samples are held against those on its own training rows. The population stability index is
sum((q - p) ln(q / p)) over bins with shares p at training and q now: Siddiqi, Credit Risk Scorecards (2006), after the
J-divergence of Jeffreys (1946); by the same source up to 0.1 is stable and from 0.25 on the population is another one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from monitor_core.detection.votes import FULL_VOICE, QUIET_BELOW
from monitor_core.frame import FloatArray, IntArray
from monitor_core.metrics import METRICS

BINS = 40
POOLED = 4  # bins of the index: ten of a tenth each, as usual; the finer ones are for the threshold
LEAST_SHARE = 1e-4  # an empty bin would make the index infinite
FEWEST, EARLIEST_MS = 1_000, 3_600_000  # within minutes one fault on a few hosts read 0.4
MOVED = 0.25
UNUSUAL_TIMES, UNUSUAL_FROM = 3.0, 0.01


@dataclass(frozen=True, slots=True)
class Drift:
    """`*_share` of votes at or over the alarm score; `index` is the population stability index of the last day.

    None: there are too few samples for it, or the version was trained before votes were counted.
    """

    trained_share: float | None
    hour_share: float | None
    day_share: float | None
    index: float | None
    samples: int
    verdict: str


def voiced(votes: FloatArray, features: FloatArray) -> FloatArray:
    """[n] the forest's votes as scoring lets them speak: nothing near the baseline, all of it two scales away."""
    farthest = np.abs(features[:, : len(METRICS)]).max(axis=1)
    spoken: FloatArray = np.round(votes * np.clip(farthest / FULL_VOICE, 0.0, 1.0), 3)
    return np.where(farthest < QUIET_BELOW, 0.0, spoken)


def count(votes: FloatArray) -> IntArray:
    """[BINS] how many votes fall into each equal bin of 0..1; NaN (the forest did not speak) into none."""
    spoken = votes[~np.isnan(votes)]
    return np.bincount(np.minimum((spoken * BINS).astype(np.int64), BINS - 1), minlength=BINS)


def stability_index(trained: IntArray, now: IntArray) -> float:
    """Population stability index of two histograms [bins]."""
    p, q = (np.maximum(counts / counts.sum(), LEAST_SHARE) for counts in (trained, now))
    return float(((q - p) * np.log(q / p)).sum())


def judge(trained: IntArray, hour: IntArray, day: IntArray, alarm_score: float, spoken_ms: int) -> Drift:
    """Histograms [BINS] of the votes at training (empty: unknown), in the last hour and in the last day; the version
    has spoken for `spoken_ms`."""
    at_training, last_hour, last_day = (_share(counts, alarm_score) for counts in (trained, hour, day))
    samples, index = int(day.sum()), None
    if not trained.sum():
        verdict = "unknown: this version was trained before drift was measured"
    elif samples < FEWEST or spoken_ms < EARLIEST_MS:
        verdict = "too early: it has watched for less than an hour, or seen too few samples"
    else:
        index = stability_index(_pooled(trained), _pooled(day))
        often = max(UNUSUAL_TIMES * (at_training or 0.0), UNUSUAL_FROM)
        verdict = "drifting: retrain" if index >= MOVED or (last_day or 0.0) > often else "stable"
    told = None if index is None else round(index, 3)
    return Drift(at_training, last_hour, last_day, told, samples, verdict)


def _share(counts: IntArray, alarm_score: float) -> float | None:
    total = int(counts.sum())
    first = round(alarm_score * BINS)
    return round(float(counts[first:].sum()) / total, 5) if total else None


def _pooled(counts: IntArray) -> IntArray:
    return counts.reshape(-1, POOLED).sum(axis=1)
