"""Unusual: which samples count toward an incident. One rule for what opens it and for what is told of it (pure)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from monitor_core.detection.votes import SLOW
from monitor_core.frame import BoolArray, FloatArray
from monitor_core.scores import Scores


class Bar(NamedTuple):
    """From where on samples of a host count: `distance` in scales, by its alert budget ([n] or one for all), and
    `slow`, the score of the slow channel. Limits have no part in it."""

    distance: FloatArray | float
    slow: float


def is_unusual(scores: Scores, bar: Bar) -> BoolArray:
    """[n] is a limit exceeded, does the slow channel speak, or is it far enough from what is usual?"""
    return scores.breach.any(axis=1) | is_slow(scores.by_detector, bar.slow) | (scores.distance >= bar.distance)


def is_slow(by_detector: FloatArray, alarm_score: float) -> BoolArray:
    """[n] does the slow channel speak? `by_detector` [n, detectors]."""
    found: BoolArray = np.fmax.reduce(by_detector[:, SLOW], axis=1) >= alarm_score
    return found
