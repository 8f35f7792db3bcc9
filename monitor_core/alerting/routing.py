"""Routing: who is told of what, and why (pure). The reason stands in the incident's timeline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from monitor_core.incidents import Incident, Severity
from monitor_core.labels import QUIET
from monitor_core.notifications import Event


class RoutingReason(StrEnum):
    """Why somebody is told, or nobody."""

    FIRST_NOTIFICATION = "first_notification"
    RESOLVED_AFTER_TOLD = "resolved_after_told"
    FROM_HISTORY = "from_history"
    NOT_TOLD_WHEN_OPENED = "not_told_when_opened"
    ALREADY_TOLD = "already_told"
    EXPECTED_NOW = "expected_now"
    LABELLED = "labelled"
    NO_CHANNEL = "no_channel"


@dataclass(frozen=True, slots=True)
class Routed:
    """The channels that are told, none of them with a reason why not."""

    channels: tuple[str, ...]
    reason: RoutingReason


def route(event: Event, incident: Incident, channels: Sequence[str]) -> Routed:
    """An episode is told once when it opens and once when it ends, and only what is going on now.

    A label keeps a warning quiet, never a limit or a silence.
    """
    if not channels:
        return Routed((), RoutingReason.NO_CHANNEL)
    if event is Event.RESOLVED:
        if not incident.told:
            return Routed((), RoutingReason.NOT_TOLD_WHEN_OPENED)
        return Routed(tuple(channels), RoutingReason.RESOLVED_AFTER_TOLD)
    quiet = _why_quiet(incident)
    return Routed((), quiet) if quiet else Routed(tuple(channels), RoutingReason.FIRST_NOTIFICATION)


def _why_quiet(incident: Incident) -> RoutingReason | None:
    if incident.from_history:
        return RoutingReason.FROM_HISTORY
    if incident.told:
        return RoutingReason.ALREADY_TOLD
    if incident.severity is not Severity.WARNING:
        return None
    if incident.expected_now:
        return RoutingReason.EXPECTED_NOW
    return RoutingReason.LABELLED if incident.label in QUIET else None
