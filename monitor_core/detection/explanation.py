"""Explanation: the sentence and the evidence behind a score (pure)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from monitor_core.frame import FloatArray
from monitor_core.incidents import Change, Counterfactual, Evidence, Reason, Way
from monitor_core.metrics import BY_KEY, CATALOGUE, METRICS
from monitor_core.scores import DETECTORS, LIMIT, Scores

NARROW = "\u202f"
FEW_SAMPLES = "over a few samples"  # what is compared is their mean, the level


@dataclass(frozen=True, slots=True)
class Slow:
    """Sentences of the slow channel (None: it says nothing); `decided`: about the metric that had the largest part."""

    trend: str | None = None
    stuck: str | None = None
    decided: bool = False


QUIET = Slow()


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
        return f"{text}, what is usual is not known yet"
    band = f"{item.expected_low:.0f}–{_percent(item.expected_high)}"
    if item.value > item.expected_high:
        return f"{text}, expected {band}: {_points(item.value - item.expected_high)} above"
    if item.value < item.expected_low:
        return f"{text}, expected {band}: {_points(item.expected_low - item.value)} below"
    return f"{text}, expected {band}"


def loudest(scores: Scores, row: int) -> str | None:
    """Which detector decided about sample `row`: the limits where one is exceeded, else the highest vote."""
    if scores.breach[row].any():
        return LIMIT
    votes = np.nan_to_num(scores.by_detector[row])
    return DETECTORS[int(votes.argmax())] if votes.any() else None


def counterfactual(ways: tuple[Way, ...]) -> Counterfactual | None:
    """ "Normal with memory ≤ 74 % or CPU ≥ 55 %, over a few samples"."""
    if not ways:
        return None
    told = " or ".join(" and ".join(_change(change) for change in way) for way in ways)
    return Counterfactual(f"Normal with {told}, {FEW_SAMPLES}", ways)


def _change(change: Change) -> str:
    label = BY_KEY[change.metric].label
    name = label if label[:2].isupper() else label[0].lower() + label[1:]
    return f"{name} {'≤' if change.below else '≥'} {_percent(change.value)}"


def slow(values: FloatArray, scores: Scores, row: int) -> Slow:
    """What the slow channel has to say about sample `row`."""
    top = int(scores.contributions[row].argmax())
    climbing = [m for m in range(len(METRICS)) if not math.isnan(scores.slope[row, m, 1])]
    still = [m for m in range(len(METRICS)) if not math.isnan(scores.same_ms[row, m])]
    urgent = top if top in climbing else climbing[0] if climbing else None
    return Slow(
        trend=_climbs(urgent, values[row], scores.slope[row]) if urgent is not None else None,
        stuck=_stands(still, values[row], scores.same_ms[row]) if still else None,
        decided=top in climbing or (top in still and not climbing),
    )


def _climbs(m: int, values: FloatArray, slopes: FloatArray) -> str:
    """ "Memory is climbing 1.9 % a minute: full in about 5 min if it goes on (4–7 min)"."""
    metric = CATALOGUE[m]
    low, slope, high = (float(x) for x in slopes[m])
    speed = f"{slope:.1f}{NARROW}% a minute" if slope >= 0.1 else f"{slope * 60:.1f}{NARROW}% an hour"
    room = max(metric.high - float(values[m]), 0.0)
    about, soonest = _span(room / slope), _span(room / high)
    latest = _span(room / low) if low > 0 else ""
    text = f"{metric.label} is climbing {speed}: full in about {about} if it goes on"
    if not latest:
        return f"{text} ({soonest} at the earliest)"
    if soonest == latest:
        return text
    unit = soonest.rpartition(" ")[2]
    if unit == latest.rpartition(" ")[2]:
        soonest = soonest.rpartition(" ")[0]
    return f"{text} ({soonest}–{latest})"


def _stands(still: Sequence[int], values: FloatArray, same_ms: FloatArray) -> str:
    """ "Memory has shown exactly 41.3 % for 20 min, which it never did"."""
    m = still[0]
    names = " and ".join(CATALOGUE[i].label for i in still)
    have = "has" if len(still) == 1 else "have"
    shown = f" exactly {values[m]:g}{NARROW}%" if len(still) == 1 else " exactly the same"
    return f"{names} {have} shown{shown} for {_span(same_ms[m] / 60_000)}, which never happened before"


def title(found: tuple[Evidence, ...], reason: Reason, slowly: Slow = QUIET) -> str:
    """What a person reads first."""
    if reason is not Reason.LIMIT_EXCEEDED and slowly.decided:
        return slowly.trend or slowly.stuck or ""
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


def detail(found: tuple[Evidence, ...], slowly: Slow = QUIET, titled: str = "") -> str:
    """The sentence of the first metric, of the second where it had a part, of the slow channel what no title says."""
    parts = [sentence(found[0])]
    if found[1].contribution >= 0.2:
        parts.append(sentence(found[1]))
    parts += [said for said in (slowly.trend, slowly.stuck) if said and said != titled]
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


def _span(minutes: float) -> str:
    """5 min, 3 h, 2 days."""
    if minutes < 1:
        return "1 min"
    if minutes < 120:
        return f"{minutes:.0f} min"
    return f"{minutes / 60:.0f} h" if minutes < 2_880 else f"{minutes / 1_440:.0f} days"


def _percent(value: float) -> str:
    return f"{value:.0f}{NARROW}%"


def _points(distance: float) -> str:
    rounded = max(1, round(distance))
    return f"{rounded} point{'s' if rounded > 1 else ''}"


def _number(value: float) -> float | None:
    return None if math.isnan(value) else round(float(value), 1)
