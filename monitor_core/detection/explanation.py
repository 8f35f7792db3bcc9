"""Explanation: the sentence and the evidence behind a score (pure)."""

from __future__ import annotations

import math

from monitor_core.frame import FloatArray
from monitor_core.incidents import Evidence, Reason
from monitor_core.metrics import BY_KEY, METRICS
from monitor_core.scores import Scores

NARROW = "\u202f"


def evidence(values: FloatArray, scores: Scores, limits: FloatArray, row: int) -> tuple[Evidence, ...]:
    """What each metric of sample `row` showed, the largest contribution first. `values` [n, m], `limits` [m]."""
    found = [
        Evidence(
            metric=key,
            value=_number(values[row, m]),
            expected_low=_number(scores.expected_low[row, m]),
            expected_high=_number(scores.expected_high[row, m]),
            contribution=float(scores.contributions[row, m]),
            limit=_number(limits[m]),
        )
        for m, key in enumerate(METRICS)
    ]
    return tuple(sorted(found, key=lambda e: -e.contribution))


def sentence(item: Evidence) -> str:
    """ "Memory 91 %, expected 48–63 %: 28 points above"."""
    label = BY_KEY[item.metric].label
    if item.value is None:
        return f"{label} is missing"
    text = f"{label} {_percent(item.value)}"
    if item.expected_low is None or item.expected_high is None:
        return text
    band = f"{item.expected_low:.0f}–{_percent(item.expected_high)}"
    if item.value > item.expected_high:
        return f"{text}, expected {band}: {_points(item.value - item.expected_high)} above"
    if item.value < item.expected_low:
        return f"{text}, expected {band}: {_points(item.expected_low - item.value)} below"
    return f"{text}, expected {band}"


def title(found: tuple[Evidence, ...], reason: Reason) -> str:
    """What a person reads first."""
    first = found[0]
    label = BY_KEY[first.metric].label
    if first.value is None:
        return f"{label} is unusual"
    if reason is Reason.LIMIT_EXCEEDED and first.limit is not None:
        shown = f"{first.value:.0f}" if first.value >= first.limit + 0.5 else f"{first.value:.1f}"
        return f"{label} is at {shown}{NARROW}%, over its limit of {_percent(first.limit)}"
    high = first.expected_high is not None and first.value > first.expected_high
    low = first.expected_low is not None and first.value < first.expected_low
    if high or low:
        return f"{label} is unusually {'high' if high else 'low'}: {_percent(first.value)}"
    return f"{label} and {BY_KEY[found[1].metric].label} are an unusual pair"


def detail(found: tuple[Evidence, ...]) -> str:
    """The sentence of the first metric, and of the second where it had a part."""
    parts = [sentence(found[0])]
    if found[1].contribution >= 0.2:
        parts.append(sentence(found[1]))
    return ". ".join(parts) + "."


def silence_title(seconds: float) -> str:
    return f"No samples for {_seconds(seconds)}"


def silence_detail(gap_seconds: float) -> str:
    return (
        f"This host usually sends one every {gap_seconds:.0f} s."
        if gap_seconds >= 1
        else "It usually sends several a second."
    )


def _seconds(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _percent(value: float) -> str:
    return f"{value:.0f}{NARROW}%"


def _points(distance: float) -> str:
    rounded = max(1, round(distance))
    return f"{rounded} point{'s' if rounded > 1 else ''}"


def _number(value: float) -> float | None:
    return None if math.isnan(value) else round(float(value), 1)
