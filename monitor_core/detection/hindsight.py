"""Hindsight: what a label would have changed about the incidents that were, and what it changes about the threshold
of its host (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from monitor_core.detection.label_rules import culprits
from monitor_core.incidents import Incident, Kind, Reason, Severity
from monitor_core.labels import MARGIN_MS, Label, Labelled, is_same_time_of_day

DAYS = 30
MOST_NAMED = 20


@dataclass(frozen=True, slots=True)
class Shift:
    """A score without the label and with it."""

    before: float
    after: float

    @property
    def is_told(self) -> bool:
        """Does one see the difference?"""
        return abs(self.after - self.before) >= 0.0005


@dataclass(frozen=True, slots=True)
class Hindsight:
    """`similar`: earlier incidents that the label would have kept quiet, the newest first, up to 20 of `similar_total`,
    of which `similar_real` are marked as real; `threshold` of its host; `score` of what the host shows now. None: the
    label has no part in it. `sentence` tells all of it."""

    sentence: str
    similar: tuple[int, ...]
    similar_total: int
    similar_real: int
    threshold: Shift | None
    score: Shift | None


def hindsight(
    record: Labelled, reason: Reason, past: Sequence[Incident], threshold: Shift | None, score: Shift | None
) -> Hindsight:
    """`reason` opened the labelled incident; `past` incidents of its host in the last 30 days."""
    similar = kept_quiet(record, past)
    real = sum(found.label is Label.REAL for found in similar)
    threshold = threshold if record.label is Label.REAL else None
    score = score if record.label is Label.NEW_NORMAL else None
    parts = [_quiet(record, len(similar), real), _budget(record, reason, threshold), _now(record, score)]
    text = " ".join(part for part in parts if part)
    return Hindsight(text, tuple(found.id for found in similar[:MOST_NAMED]), len(similar), real, threshold, score)


def kept_quiet(record: Labelled, past: Sequence[Incident]) -> list[Incident]:
    """Those of `past` that would not have opened (never), or would have been told to nobody (expected)."""
    if record.kind != Kind.ABNORMAL or record.leading is None:
        return []
    if record.label is Label.NEVER:
        return [found for found in past if _is_like(record, found)]
    if record.label is Label.EXPECTED:
        return [found for found in past if found.told and _is_like(record, found) and _is_at_its_time(record, found)]
    return []


def _is_like(record: Labelled, found: Incident) -> bool:
    """Another warning in which the same metric led on the same side; what a limit opens or worsens is always told."""
    if found.id == record.incident or found.kind is not Kind.ABNORMAL or found.severity is not Severity.WARNING:
        return False
    return found.reason is Reason.SCORE_PERSISTED and culprits(found.evidence)[:1] == (record.leading,)


def _is_at_its_time(record: Labelled, found: Incident) -> bool:
    """From its beginning to its end: one that goes on longer is told then."""
    ended = found.resolved_at or found.opened_at
    window = (record.resolved_at or record.opened_at) - record.opened_at + 2 * MARGIN_MS
    ends = is_same_time_of_day(record, found.opened_at) and is_same_time_of_day(record, ended)
    return ends and ended - found.opened_at <= window


def _quiet(record: Labelled, similar: int, real: int) -> str:
    if record.label not in {Label.NEVER, Label.EXPECTED} or record.leading is None:
        return ""
    at = " at this time of day" if record.label is Label.EXPECTED else ""
    if not similar:
        return f"No other alert of the last {DAYS} days was like it{at}."
    incidents = "1 similar incident" if similar == 1 else f"{similar} similar incidents"
    quiet = "have been told to nobody" if record.label is Label.EXPECTED else "not have opened"
    text = f"{incidents} of the last {DAYS} days{at} would {quiet}"
    if real:
        return f"{text}, {'and it is' if similar == 1 else f'{real} of them'} marked as real."
    return f"{text}."


def _budget(record: Labelled, reason: Reason, threshold: Shift | None) -> str:
    if record.label is not Label.REAL or threshold is None:
        return ""
    if reason is not Reason.SCORE_PERSISTED:
        return "Limits and silence have no part in the alert budget, so its threshold stays."
    if not threshold.is_told:
        stays = f"the threshold of {record.host} stays at {threshold.after:.3f}"
        return f"It does not count against the alert budget; {stays}."
    return (
        f"Threshold of {record.host} from {threshold.before:.3f} to {threshold.after:.3f},"
        " because a real alert does not count against its budget."
    )


def _now(record: Labelled, score: Shift | None) -> str:
    if score is None:
        return ""
    return f"What {record.host} shows now would have a score of {score.after:.2f} instead of {score.before:.2f}."
