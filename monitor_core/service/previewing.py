"""Previewing: what a label changes, computed on the incidents that were, the alert budget and the baseline that are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from monitor_core.detection.detectors.robust_z import score_of
from monitor_core.detection.hindsight import DAYS, Hindsight, Shift, hindsight
from monitor_core.frame import make_frame
from monitor_core.incidents import Incident, Kind
from monitor_core.labels import Label, Labelled, effect
from monitor_core.service.bootstrap import Service
from monitor_core.service.judge import Judge
from monitor_core.service.labelling import record_of

DAY_MS = 86_400_000


def previews(service: Service, incident: Incident) -> dict[str, dict[str, Any]]:
    """What each label would do to this incident, or does."""
    now, before = service.clock.now_ms(), service.state.label_of(incident.id)
    past = _past(service, incident.host)
    records = [record_of(incident, label, now, None, before) for label in Label]
    with service.pipeline.lock:
        found = {record: _judged(service.judge, incident, record, past, before) for record in records}
    return {str(record.label): {"effect": effect(record)} | asdict(said) for record, said in found.items()}


def so_far(service: Service, records: Sequence[Labelled]) -> list[Hindsight]:
    """What each label that is set has changed, in the same order."""
    incidents = {record.incident: service.state.incident(record.incident) for record in records}
    pasts = {host: _past(service, host) for host in {record.host for record in records}}
    with service.pipeline.lock:
        return [
            _judged(service.judge, found, record, pasts[record.host], record)
            for record in records
            if (found := incidents[record.incident]) is not None
        ]


def _past(service: Service, host: str) -> list[Incident]:
    now = service.clock.now_ms()
    return service.state.incidents(now - DAYS * DAY_MS, now + DAY_MS, host, limit=10_000)


def _judged(
    judge: Judge, incident: Incident, record: Labelled, past: Sequence[Incident], set_now: Labelled | None
) -> Hindsight:
    is_real = set_now is not None and set_now.label is Label.REAL
    threshold = _threshold(judge, incident, is_real) if record.label is Label.REAL else None
    is_new = record.label is Label.NEW_NORMAL and not record.relearned
    return hindsight(record, incident.reason, past, threshold, _score(judge, incident) if is_new else None)


def _threshold(judge: Judge, incident: Incident, is_real: bool) -> Shift | None:
    """Of its host while the alert counts and when it does not; None: the host has no budget."""
    counts = judge.threshold_if(incident, -1 if is_real else 0)
    forgiven = judge.threshold_if(incident, 0 if is_real else 1)
    if counts is None or forgiven is None:
        return None
    return Shift(*(float(score_of(np.array(distance))) for distance in (counts, forgiven)))


def _score(judge: Judge, incident: Incident) -> Shift | None:
    """Of the host's level against the baseline as it is and as it would begin again; None: it would not."""
    place = judge.scorer.state.find(incident.host)
    if place is None or not incident.is_open or incident.kind is not Kind.ABNORMAL:
        return None
    rows, copy = np.array([place]), judge.scorer.with_empty_memory()
    copy.state = judge.scorer.state.copy_of(rows)
    frame = make_frame(copy.state.last_time[:1], [incident.host], copy.state.level(np.array([0])), incident.simulated)
    before = float(copy.peek(frame).score[0])
    return Shift(before, float(copy.peek(frame).score[0])) if copy.state.relearn(0, incident.opened_at) else None
