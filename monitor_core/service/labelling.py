"""Labelling: what a label that an analyst sets leaves in the state, and how labels look as JSON (pure)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from monitor_core.detection.hindsight import Hindsight
from monitor_core.detection.label_rules import culprits
from monitor_core.incidents import Incident, Kind
from monitor_core.labels import Label, Labelled, effect
from monitor_core.storage.state import Decided, StateStore, TimelineEvent


def record_of(incident: Incident, label: Label | None, at: int, note: str | None, before: Labelled | None) -> Labelled:
    """The incident's label as of `at` (ms UTC), None: taken back; `before` is the one that it replaces."""
    return Labelled(
        incident=incident.id,
        host=incident.host,
        kind=incident.kind,
        culprits=culprits(incident.evidence),
        opened_at=incident.opened_at,
        resolved_at=incident.resolved_at,
        label=label,
        at=at,
        note=note or None,
        relearned=before is not None and before.label is label and before.relearned,
    )


def add_label(incident: Incident, record: Labelled, out: Decided) -> Incident:
    """Write the label, the incident with it and a line of its timeline into `out`; returns the incident."""
    changed = replace(incident, label=record.label)
    words = "label taken back" if record.label is None else f"label: {record.label.replace('_', ' ')}"
    out.incidents.append(changed)
    out.labels.append(record)
    out.events.append(TimelineEvent(incident.id, record.at, words, record.note or ""))
    return changed


def tally(records: Sequence[Labelled]) -> dict[str, int]:
    """How many incidents have each label."""
    found = Counter(record.label for record in records)
    return {label.value: found[label] for label in Label}


def label_view(record: Labelled, found: Hindsight) -> dict[str, Any]:
    """The record with the sentence of what it changes, and what it would have changed so far."""
    return asdict(record) | {"effect": effect(record), "hindsight": asdict(found)}


def labelled_spans(state: StateStore, start: int, stop: int) -> list[tuple[str, int, int, str]]:
    """(host, from, to, label) of the labelled abnormal incidents that were open in [start, stop), ms UTC."""
    return [
        (found.host, found.opened_at, found.resolved_at or stop, found.label)
        for found in state.incidents(start, stop, limit=10_000)
        if found.label is not None and found.kind is Kind.ABNORMAL
    ]
