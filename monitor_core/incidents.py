"""Incident: something about one host that a person should know; its states and the allowed moves (pure)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum

from monitor_core.labels import Label


class Kind(StrEnum):
    """At most one incident of each kind is open per host."""

    ABNORMAL = "abnormal"
    SILENT = "silent"


class State(StrEnum):
    """open → acknowledged → resolved; resolved is final."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"


class Severity(StrEnum):
    """warning: unusual; critical: a limit is exceeded or the host is silent."""

    WARNING = "warning"
    CRITICAL = "critical"


class Reason(StrEnum):
    """Why an incident moved; the same word stands in log, page, API and test."""

    LIMIT_EXCEEDED = "limit_exceeded"
    SCORE_PERSISTED = "score_persisted"
    NO_SAMPLES = "no_samples"
    BACK_TO_NORMAL = "back_to_normal"
    SAMPLES_RETURNED = "samples_returned"
    HOST_FORGOTTEN = "host_forgotten"
    ACKNOWLEDGED_BY_HAND = "acknowledged_by_hand"
    HISTORY_ENDED = "history_ended"


class IllegalMove(ValueError):
    """The incident is in a state from which this move does not exist."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one metric showed when the incident opened or worsened: percent now, expected range, share of the score."""

    metric: str
    value: float | None
    expected_low: float | None
    expected_high: float | None
    contribution: float
    limit: float | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """One metric with another value in whole percent: at most it (`below` the observed one) or at least it."""

    metric: str
    value: float
    below: bool


Way = tuple[Change, ...]  # changes that belong together


@dataclass(frozen=True, slots=True)
class Counterfactual:
    """With what values it would have been normal: a sentence, and each of the ways by itself."""

    sentence: str
    ways: tuple[Way, ...]


@dataclass(frozen=True, slots=True)
class Incident:
    """One episode. Times are ms UTC; `title` and `detail` are the sentences people read.

    `since` is the first unusual sample of the run that opened it, or the last one before a silence; `detector` the one
    that spoke loudest then; None in incidents of before. `unusual_from`: the score from which samples of this host
    counted when it opened; None where a limit, the slow channel or a silence opened it, and in incidents of before.
    `from_history`: opened by samples more than 5 min old on arrival. `told`: the outbox has a message about it.
    `expected_now`: nobody is told, because of the label of an earlier one about the same time of day.
    """

    id: int
    host: str
    kind: Kind
    state: State
    severity: Severity
    reason: Reason
    opened_at: int
    title: str
    detail: str
    score: float
    peak_score: float
    model_version: int = 0
    simulated: bool = False
    from_history: bool = False
    told: bool = False
    acknowledged_at: int | None = None
    note: str | None = None
    resolved_at: int | None = None
    resolved_reason: Reason | None = None
    evidence: tuple[Evidence, ...] = field(default=())
    label: Label | None = None
    expected_now: bool = False
    since: int | None = None
    detector: str | None = None
    counterfactual: Counterfactual | None = None
    unusual_from: float | None = None

    @property
    def is_open(self) -> bool:
        return self.state is not State.RESOLVED


def acknowledge(incident: Incident, at: int, note: str | None) -> Incident:
    """Somebody has seen it; a second time only replaces the note. Raises IllegalMove when it is over."""
    if not incident.is_open:
        raise IllegalMove(f"incident {incident.id} is already resolved")
    return replace(
        incident,
        state=State.ACKNOWLEDGED,
        acknowledged_at=incident.acknowledged_at or at,
        note=note if note is not None else incident.note,
    )


def resolve(incident: Incident, at: int, reason: Reason) -> Incident:
    """It is over. Raises IllegalMove when it was already."""
    if not incident.is_open:
        raise IllegalMove(f"incident {incident.id} is already resolved")
    return replace(incident, state=State.RESOLVED, resolved_at=max(at, incident.opened_at), resolved_reason=reason)


def escalate(incident: Incident, severity: Severity) -> Incident:
    """Severity only rises while an incident lasts."""
    order = (Severity.WARNING, Severity.CRITICAL)
    return replace(incident, severity=max(incident.severity, severity, key=order.index))
