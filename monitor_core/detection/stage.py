"""Stage: how much a host has taught the detectors so far, and what comes next (pure)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from monitor_core.detection.detectors.neighbours import FULL_VOICE_MS
from monitor_core.detection.host_state import BASELINE_LEVELS, WARM_LEVELS


class Stage(StrEnum):
    """In order; a host only skips one when its history is already there."""

    LIMITS_ONLY = "limits only"
    LAST_HOUR = "learning the last hour"
    FOREST = "forest"
    DAYS = "knows its days"


@dataclass(frozen=True, slots=True)
class Learned:
    """A host's stage, how far it is on the way to the next one (0..1), what comes next and all of it as a sentence."""

    stage: Stage
    progress: float
    next: str | None
    sentence: str


def learned(levels: int, level_ms: float, model_version: int, history_ms: int) -> Learned:
    """`levels` the baseline has, one each `level_ms`; `history_ms` since the host's first sample in the store."""
    if levels < WARM_LEVELS:
        left = _span((WARM_LEVELS - levels) * level_ms)
        return _told(Stage.LIMITS_ONLY, levels / WARM_LEVELS, f"last hour in {left}", "only limits speak")
    speak = "limits, last hour and forest speak" if model_version else "limits and last hour speak"
    if levels < BASELINE_LEVELS:
        left = _span((BASELINE_LEVELS - levels) * level_ms)
        return _told(Stage.LAST_HOUR, levels / BASELINE_LEVELS, f"full baseline in {left}", speak)
    if not model_version:
        return _told(Stage.LAST_HOUR, 1.0, "forest after the first training", speak)
    if history_ms < FULL_VOICE_MS:
        left = _span(FULL_VOICE_MS - history_ms)
        return _told(Stage.FOREST, history_ms / (FULL_VOICE_MS), f"daily pattern in {left}", speak)
    return Learned(Stage.DAYS, 1.0, None, "Knows this host's last hour and its days")


def _told(stage: Stage, progress: float, following: str, speak: str) -> Learned:
    return Learned(stage, round(progress, 3), following, f"Learning this host: {speak}, {following}")


def _span(ms: float) -> str:
    """1 min, 3 h, 2 days; rounded up: it is never there earlier."""
    minutes = max(1, math.ceil(ms / 60_000))
    if minutes < 120:
        return f"{minutes} min"
    return f"{math.ceil(minutes / 60)} h" if minutes < 1_440 else _days(math.ceil(minutes / 1_440))


def _days(n: int) -> str:
    return "1 day" if n == 1 else f"{n} days"
