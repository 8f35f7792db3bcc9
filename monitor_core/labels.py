"""Label: what an analyst says that an incident really was, and in one sentence what that changes (pure)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from monitor_core.metrics import BY_KEY

MARGIN_MS = 30 * 60_000
DAY_MS = 86_400_000


class Label(StrEnum):
    """real; expected now and then; the new normal; never tell me about this."""

    REAL = "real"
    EXPECTED = "expected"
    NEW_NORMAL = "new_normal"
    NEVER = "never"


NORMAL_HISTORY = frozenset({Label.EXPECTED, Label.NEW_NORMAL})
QUIET = frozenset({Label.EXPECTED, Label.NEVER})


class Direction(StrEnum):
    """On which side of the expected a value lies."""

    HIGH = "high"
    LOW = "low"


@dataclass(frozen=True, slots=True)
class Culprit:
    """A metric that had a part in an incident."""

    metric: str
    direction: Direction


@dataclass(frozen=True, slots=True)
class Labelled:
    """An incident and its label; None: taken back. Times ms UTC; `culprits` with the largest part first.

    `kind` is the incident's, a word of `incidents.Kind`. `relearned`: the host's baseline began again with the label.
    """

    incident: int
    host: str
    kind: str
    culprits: tuple[Culprit, ...]
    opened_at: int
    resolved_at: int | None
    label: Label | None
    at: int
    note: str | None = None
    relearned: bool = False

    @property
    def leading(self) -> Culprit | None:
        """The metric with the largest part."""
        return self.culprits[0] if self.culprits else None


def is_same_time_of_day(record: Labelled, at: int) -> bool:
    """Does `at` (ms UTC) lie within half an hour of when the incident lasted, on any day?"""
    lasted = (record.resolved_at or record.opened_at) - record.opened_at
    return (at - record.opened_at + MARGIN_MS) % DAY_MS <= lasted + 2 * MARGIN_MS


def effect(record: Labelled) -> str:
    """What the label changes, for people."""
    match record.label:
        case Label.REAL:
            return "Nothing is learned from its samples."
        case Label.EXPECTED:
            return f"{_expected(record)} Its samples are learned from."
        case Label.NEW_NORMAL:
            return f"{_baseline(record)} Its samples are learned from. Limits stay as they are."
        case Label.NEVER:
            return _never(record)
    return ""


def pattern(record: Labelled) -> str:
    """ "CPU unusually high on web-1"; empty when no metric stood out."""
    found = record.leading
    return f"{BY_KEY[found.metric].label} unusually {found.direction} on {record.host}" if found else ""


def _expected(record: Labelled) -> str:
    if not record.leading:
        return "No metric stood out, so nothing is kept quiet."
    return f"{pattern(record)} is shown but told to nobody {_window(record)}, unless a limit is exceeded."


def _never(record: Labelled) -> str:
    if not record.leading:
        return "No metric stood out, so nothing is kept quiet. Silence is always told."
    return f"{pattern(record)} opens no incident any more, unless a limit is exceeded."


def _baseline(record: Labelled) -> str:
    if record.relearned:
        return f"What is expected of {record.host} began again with this incident."
    if record.resolved_at is not None and record.resolved_at <= record.at:
        return "It was over already, so what is expected went on as it was."
    return "What is expected went on as it was: nothing begins again while a limit is exceeded or nothing is known yet."


def _window(record: Labelled) -> str:
    start, stop = record.opened_at - MARGIN_MS, (record.resolved_at or record.opened_at) + MARGIN_MS
    if stop - start >= DAY_MS:
        return "at any time of day"
    begin, end = (f"{datetime.fromtimestamp(ms / 1000, UTC):%H:%M}" for ms in (start, stop))
    return f"from {begin} to {end} UTC"
