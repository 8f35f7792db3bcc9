"""Decisions: what the policy's transitions make of the open incidents, and whom it tells.

Keeps the open incidents in memory and turns every transition into rows for one transaction (`Decided`). No I/O.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from monitor_core.alerting.routing import RoutingReason, route
from monitor_core.detection import counterfactual, explanation
from monitor_core.detection.detectors.robust_z import score_of
from monitor_core.detection.incident_policy import ESCALATED, OPENED, Transition
from monitor_core.detection.label_rules import EVIDENT_SHARE, LabelRules, culprits
from monitor_core.detection.scorer import Scorer
from monitor_core.detection.unusual import Bar
from monitor_core.frame import HISTORY_AGE_MS, FloatArray, Frame, IntArray
from monitor_core.incidents import Counterfactual, Incident, Kind, Reason, Severity, State, escalate, resolve
from monitor_core.labels import QUIET
from monitor_core.notifications import Event
from monitor_core.scores import STUCK, Scores
from monitor_core.storage.state import Decided, OutboxRow, TimelineEvent

MOST_COUNTERFACTUALS = 20  # a step; when a whole fleet goes wrong at once nobody reads more of them


@dataclass(frozen=True, slots=True)
class Batch:
    """Samples that are being decided upon, with their scores, the arrival time of each, and the distance from which it
    counted."""

    frame: Frame
    scores: Scores
    arrived_at: IntArray
    unusual_from: FloatArray


class Desk:
    """The open incidents, by (host, kind)."""

    def __init__(
        self,
        open_incidents: Sequence[Incident],
        last_id: int | Iterator[int],
        channels: Sequence[str],
        scorer: Scorer,
        labels: LabelRules,
        alarm_score: float,
    ) -> None:
        self.open = {(incident.host, incident.kind): incident for incident in open_incidents}
        self._numbers = itertools.count(last_id + 1) if isinstance(last_id, int) else last_id
        self._channels = channels
        self._scorer, self._labels, self._alarm_score = scorer, labels, alarm_score
        self.since: dict[str, int] = {}
        self._counterfactuals = 0

    def apply(self, moves: Sequence[Transition], names: Sequence[str], batch: Batch, out: Decided) -> None:
        """Abnormal transitions of the samples in `batch`; `Transition.sample` is a row of it."""
        self._counterfactuals = 0
        for move in moves:
            host = names[move.row]
            at = int(batch.frame.time[move.sample])
            current = self.open.get((host, move.kind))
            if move.move == OPENED:
                if current is None:
                    self._open(self._from_sample(host, move, batch), int(batch.arrived_at[move.sample]), out)
            elif current is None:
                continue
            elif move.move == ESCALATED:
                newer = self._from_sample(host, move, batch)
                self._escalate(current, newer, at, int(batch.arrived_at[move.sample]), out)
            else:
                self._resolve(current, at, int(batch.arrived_at[move.sample]), move.reason, out)

    def open_silent(self, host: str, now: int, quiet_ms: float, gap_ms: float, simulated: bool, out: Decided) -> None:
        """A host has been quiet for `quiet_ms`, though it usually speaks every `gap_ms`."""
        if (host, Kind.SILENT) not in self.open:
            self._open(self._silent(host, now, quiet_ms, gap_ms, simulated), now, out)

    def heard_again(self, hosts: Sequence[str], now: int, out: Decided) -> None:
        """Samples of silent hosts arrived."""
        for host in hosts:
            current = self.open.get((host, Kind.SILENT))
            if current is not None:
                self._resolve(current, now, now, Reason.SAMPLES_RETURNED, out)

    def aside(self) -> Desk:
        """A desk with nothing open, for a history of its own; it takes its numbers from this one."""
        return Desk([], self._numbers, self._channels, self._scorer, self._labels, self._alarm_score)

    def count(self, batch: Batch, counted: IntArray, out: Decided) -> list[int | None]:
        """Samples that counted toward an incident: raise its peak; a live one ends `from_history` and is told.

        So is one that goes on when it is no longer expected. Returns the incident id of each.
        """
        ids: list[int | None] = []
        for row in counted.tolist():
            key = (batch.frame.hosts[batch.frame.code[row]], Kind.ABNORMAL)
            incident = self.open.get(key)
            ids.append(incident.id if incident else None)
            if incident is None:
                continue
            peak = max(incident.peak_score, float(batch.scores.score[row]))
            live = batch.arrived_at[row] - batch.frame.time[row] <= HISTORY_AGE_MS
            at = int(batch.frame.time[row])
            if live and (incident.from_history or (incident.expected_now and not self._is_expected(incident, at))):
                incident = replace(incident, from_history=False, expected_now=self._is_expected(incident, at))
                incident = self._tell(incident, Event.OPENED, int(batch.arrived_at[row]), out)
            if peak != incident.peak_score or incident is not self.open[key]:
                self._keep(replace(incident, peak_score=peak), out)
        return ids

    def end_history(self, at: int, out: Decided) -> None:
        """What a history left open ends with it."""
        for incident in list(self.open.values()):
            self._resolve(incident, at, at, Reason.HISTORY_ENDED, out)

    def forget(self, host: str, now: int, out: Decided) -> None:
        for kind in Kind:
            incident = self.open.get((host, kind))
            if incident is not None:
                self._resolve(incident, now, now, Reason.HOST_FORGOTTEN, out)

    def replace_open(self, incident: Incident) -> None:
        """Somebody changed it by hand (acknowledged, labelled)."""
        if (incident.host, incident.kind) in self.open:
            self.open[incident.host, incident.kind] = incident

    def _open(self, draft: Incident, arrived_at: int, out: Decided) -> None:
        incident = replace(draft, id=next(self._numbers))
        reason = incident.reason.value.replace("_", " ")
        self._note(incident, incident.opened_at, f"opened: {reason}", incident.severity, out)
        self._keep(self._tell(incident, Event.OPENED, arrived_at, out), out)

    def _escalate(self, current: Incident, newer: Incident, at: int, arrived_at: int, out: Decided) -> None:
        worse = escalate(current, newer.severity)
        worse = replace(worse, title=newer.title, detail=newer.detail, evidence=newer.evidence, expected_now=False)
        worse = replace(worse, detector=newer.detector, counterfactual=newer.counterfactual, unusual_from=None)
        self._note(worse, at, newer.title, worse.severity, out)
        if not current.told and (current.expected_now or current.label in QUIET):  # no label keeps a limit quiet
            worse = self._tell(worse, Event.OPENED, arrived_at, out)
        self._keep(worse, out)

    def _resolve(self, current: Incident, at: int, arrived_at: int, reason: Reason, out: Decided) -> None:
        over = resolve(current, at, reason)
        self._labels.ended(over.id, over.resolved_at or at)
        self._note(over, over.resolved_at or at, f"resolved: {reason.value.replace('_', ' ')}", "", out)
        self._tell(over, Event.RESOLVED, arrived_at, out)
        self._keep(over, out)

    def _tell(self, incident: Incident, event: Event, now: int, out: Decided) -> Incident:
        routed = route(event, incident, self._channels)
        if not routed.channels:
            if event is Event.OPENED or routed.reason is not RoutingReason.NOT_TOLD_WHEN_OPENED:
                self._note(incident, now, f"not told: {routed.reason.value.replace('_', ' ')}", "", out)
            return incident
        told = replace(incident, told=True)
        out.outbox += [OutboxRow(channel, event, told, now) for channel in routed.channels]
        return told

    def _keep(self, incident: Incident, out: Decided) -> None:
        key = (incident.host, incident.kind)
        if incident.is_open:
            self.open[key] = incident
        else:
            self.open.pop(key, None)
        out.incidents.append(incident)

    @staticmethod
    def _note(incident: Incident, at: int, what: str, detail: str, out: Decided) -> None:
        out.events.append(TimelineEvent(incident.id, at, what, detail))

    def _from_sample(self, host: str, move: Transition, batch: Batch) -> Incident:
        row = move.sample
        limits = self._scorer.limits_of([host])[0]
        found = explanation.evidence(batch.frame.values, batch.scores, limits, row)
        slowly = explanation.slow(batch.frame.values, batch.scores, row)
        score = float(batch.scores.score[row])
        title = explanation.title(found, move.reason, slowly)
        draft = Incident(
            id=0,
            host=host,
            kind=move.kind,
            state=State.OPEN,
            severity=move.severity,
            reason=move.reason,
            opened_at=int(batch.frame.time[row]),
            title=title,
            detail=explanation.detail(found, slowly, title),
            score=score,
            peak_score=score,
            model_version=batch.scores.model_version,
            simulated=bool(batch.frame.simulated[batch.frame.code[row]]),
            from_history=bool(batch.arrived_at[row] - batch.frame.time[row] > HISTORY_AGE_MS),
            evidence=found,
            since=self.since.get(host, int(batch.frame.time[row])),
            detector=explanation.loudest(batch.scores, row),
            counterfactual=self._counterfactual(batch, row),
            unusual_from=self._unusual_from(batch, row, move.reason),
        )
        return replace(draft, expected_now=self._is_expected(draft, draft.opened_at))

    def _is_expected(self, incident: Incident, at: int) -> bool:
        """Nobody needs to be told now (`at` ms UTC) of a warning like this one."""
        if incident.severity is not Severity.WARNING:
            return False
        leading = next(iter(culprits(incident.evidence)), None)
        return leading is not None and self._labels.expects(incident.host, leading.metric, leading.direction, at)

    def _counterfactual(self, batch: Batch, row: int) -> Counterfactual | None:
        if self._counterfactuals >= MOST_COUNTERFACTUALS:
            return None
        self._counterfactuals += 1
        bar = Bar(float(batch.unusual_from[row]), self._alarm_score)
        return counterfactual_of(self._scorer, batch.frame, batch.scores, row, bar)

    @staticmethod
    def _unusual_from(batch: Batch, row: int, reason: Reason) -> float | None:
        """The score that opened it; None for a limit and the slow channel, which have their own."""
        bar = batch.unusual_from[row]
        if reason is not Reason.SCORE_PERSISTED or batch.scores.distance[row] < bar:
            return None
        return round(float(score_of(bar)), 6)  # near 1 a thousandth is worth many scales

    @staticmethod
    def _silent(host: str, now: int, quiet_ms: float, gap_ms: float, simulated: bool) -> Incident:
        return Incident(
            id=0,
            host=host,
            kind=Kind.SILENT,
            state=State.OPEN,
            severity=Severity.CRITICAL,
            reason=Reason.NO_SAMPLES,
            opened_at=now,
            title=explanation.silence_title(quiet_ms / 1000),
            detail=explanation.silence_detail(gap_ms / 1000),
            score=0.0,
            peak_score=0.0,
            simulated=simulated,
            since=int(now - quiet_ms),
        )


def counterfactual_of(scorer: Scorer, frame: Frame, scores: Scores, row: int, bar: Bar) -> Counterfactual | None:
    """For one unusual sample; a value that stands still needs none, it only has to move."""
    if explanation.loudest(scores, row) == STUCK:
        return None
    return explanation.counterfactual(counterfactual.ways_back(scorer, frame, row, bar))


def anomaly_bits(scores: Scores, rows: IntArray) -> IntArray:
    """Bit per metric that had a part in each of these samples (at least the largest one)."""
    shares = scores.contributions[rows]
    part = (shares >= EVIDENT_SHARE) | (shares == shares.max(axis=1, keepdims=True)) | scores.breach[rows]
    return (part * (1 << np.arange(part.shape[1]))).sum(axis=1)
