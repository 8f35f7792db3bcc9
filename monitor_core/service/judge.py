"""Judge: steps 2 and 4 of the pipeline, scores and then decides; owns the state of detectors and policy.

Everything it does depends on the samples, their arrival times and its own state, so a replay of the journal brings it
to the same state again. What it decided is written into the `Decided` handed in; nothing is stored or sent here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import msgspec
import numpy as np

from monitor_core.detection import alert_budget, explanation, incident_policy
from monitor_core.detection.alert_budget import Budget, BudgetState, Sample
from monitor_core.detection.incident_policy import OPENED, PolicyState, Rules, Transition
from monitor_core.detection.label_rules import LabelRules, culprits
from monitor_core.detection.scorer import HISTORY_ROWS, Scorer
from monitor_core.detection.unusual import Bar, is_slow
from monitor_core.detection.votes import distance_of
from monitor_core.frame import HISTORY_AGE_MS, BoolArray, Frame, IntArray, last_of_each_instant, rounds
from monitor_core.incidents import Evidence, Incident, Kind, Reason, Severity
from monitor_core.labels import Labelled
from monitor_core.scores import Scores
from monitor_core.service.decisions import Batch, Desk, anomaly_bits
from monitor_core.storage.journal import EntryKind
from monitor_core.storage.state import Decided
from monitor_core.storage.timeseries import Anomaly

UNLIMITED = Budget(alerts_per_day=math.inf)


class Judge:
    """Not thread-safe: the pipeline holds a lock around it. `pause` is called during long histories."""

    def __init__(
        self,
        scorer: Scorer,
        rules: Rules,
        channels: Sequence[str],
        pause: Callable[[], None] = lambda: None,
        budget: Budget = UNLIMITED,
    ) -> None:
        self.scorer, self.rules, self._pause, self.budget = scorer, rules, pause, budget
        self.spending = BudgetState()
        self._channels = channels
        self.policy = PolicyState()
        self.labels = LabelRules()
        self.desk = Desk([], 0, channels, scorer, self.labels, rules.alarm_score)
        self.kept_quiet = 0
        self._hushed: dict[str, tuple[str, int]] = {}  # by host: the metric that a label kept quiet, in the run since
        self.ways = {EntryKind.SAMPLES: self.samples, EntryKind.ASKED: self.asked, EntryKind.ANOMALY: self.posted}

    def restore(self, snapshots: Mapping[str, bytes]) -> None:
        """Go back to a snapshot made by `snapshots`. Raises ValueError for one of another version."""
        if snapshots:
            self.scorer.state.load(snapshots["hosts"])
            self.policy.load(snapshots["policy"])
            self.spending.load(snapshots["budget"])
            self.desk.since = msgspec.msgpack.decode(snapshots.get("since", b"\x80"), type=dict[str, int])
            hushed = snapshots.get("hushed", b"\x80")
            self._hushed = msgspec.msgpack.decode(hushed, type=dict[str, tuple[str, int]])

    def snapshots(self) -> dict[str, bytes]:
        """All that a replay starts from."""
        tables = {"hosts": self.scorer.state, "policy": self.policy, "budget": self.spending}
        blobs = {name: table.to_bytes() for name, table in tables.items()}
        further = {"since": self.desk.since, "hushed": self._hushed}
        return blobs | {name: msgspec.msgpack.encode(table) for name, table in further.items()}

    def adopt(self, open_incidents: Sequence[Incident], last_id: int, now: int) -> None:
        """The committed incidents are the truth: after a restart the policy agrees with them, its clock starts now."""
        since = self.desk.since
        self.desk = Desk(open_incidents, last_id, self._channels, self.scorer, self.labels, self.rules.alarm_score)
        self.desk.since = since
        open_rows = {kind: [i.host for i in open_incidents if i.kind is kind] for kind in Kind}
        abnormal = self.policy.rows(open_rows[Kind.ABNORMAL])
        silent = self.policy.rows(open_rows[Kind.SILENT])
        self.policy.is_open[:], self.policy.is_silent[:] = False, False
        self.policy.is_open[abnormal], self.policy.is_silent[silent] = True, True
        worst = [i.host for i in open_incidents if i.kind is Kind.ABNORMAL and i.severity is Severity.CRITICAL]
        self.policy.is_critical[self.policy.rows(worst)] = True
        incident_policy.start_clock(self.policy, now)

    def labelled(self, record: Labelled) -> None:
        """A label was set, replaced or taken back, and is committed; at a start once for each stored one."""
        self.labels.put(record)

    def relearn(self, incident: Incident) -> bool:
        """What the host shows since the incident began is its normal from now on. False: it stays as it is.

        Changes the state that a replay does not know of: a snapshot must be committed with whatever asked for it.
        """
        row = self.scorer.state.find(incident.host)
        if row is None or not incident.is_open or incident.kind is not Kind.ABNORMAL:
            return False
        return self.scorer.state.relearn(row, incident.opened_at)

    def samples(self, frame: Frame, arrived: IntArray, out: Decided) -> tuple[Scores, list[Anomaly]]:
        """Score and learn, decide, hear who is alive. `arrived` [n] ms UTC."""
        late = self.scorer.late_rows(frame)
        scores = self.scorer.score(frame, self._pause)
        fresh = np.setdiff1d(np.arange(len(frame)), late, assume_unique=True)
        batch = self._batch(frame, scores, arrived)
        counted = self._walk(self.policy, self.desk, batch, fresh, out, self.spending)
        loud = fresh[scores.score[fresh] >= self.rules.alarm_score]
        self.kept_quiet += len(np.setdiff1d(loud, counted, assume_unique=True))
        anomalies = _anomalies(self.desk, batch, counted, out)
        self._hear(batch, fresh, out)
        if len(late):
            anomalies += self._late(batch, late, out)
        return scores, anomalies

    def asked(self, frame: Frame, arrived: IntArray, out: Decided) -> tuple[Scores, list[Anomaly]]:
        """A /predict that counts: decided upon unless its instant already was, never learned from."""
        scores = self.scorer.peek(frame)
        rows = self.policy.rows(frame.hosts)[frame.code]
        newer = np.flatnonzero(frame.time > self.policy.last_time[rows])
        batch = self._batch(frame, scores, arrived)
        counted = self._walk(self.policy, self.desk, batch, newer, out)
        return scores, _anomalies(self.desk, batch, counted, out)

    def posted(self, frame: Frame, arrived: IntArray, out: Decided) -> tuple[Scores, list[Anomaly]]:
        """Anomalies that somebody else found: kept as they are, neither learned from nor decided upon."""
        scores = self.scorer.peek(frame)
        batch = self._batch(frame, scores, arrived)
        return scores, _described(batch, np.arange(len(frame)), [None] * len(frame))

    def silence(self, now: int, simulated: Mapping[str, bool], out: Decided) -> None:
        """Who has been quiet for too long?"""
        names = self.policy.names
        if not names:
            return
        gaps = self.scorer.state.gap_ms(self.scorer.state.rows(names))
        for move in incident_policy.find_silent(self.policy, self.rules, gaps, now):
            quiet = float(now - self.policy.arrived_at[move.row])
            host = names[move.row]
            self.desk.open_silent(host, now, quiet, float(gaps[move.row]), simulated.get(host, False), out)

    def since(self, host: str, at: int) -> int:
        """The first unusual sample (ms UTC) of the run that a sample of `host` at `at` goes on with, or begins."""
        row = self.policy.find(host)
        goes_on = row is not None and self.policy.flags[row] != 0
        return min(at, self.desk.since.get(host, at)) if goes_on else at

    def take_kept_quiet(self) -> int:
        """Unusual samples since the last call that came to nothing."""
        taken, self.kept_quiet = self.kept_quiet, 0
        return taken

    def forget(self, host: str, now: int, out: Decided) -> None:
        """End its incidents and start again with it."""
        self.desk.forget(host, now, out)
        self.desk.since.pop(host, None)
        self._hushed.pop(host, None)
        for table in (self.policy, self.scorer.state, self.spending):
            row = table.find(host)
            if row is not None:
                table.reset(row)

    def _walk(
        self,
        policy: PolicyState,
        desk: Desk,
        batch: Batch,
        rows: IntArray,
        out: Decided,
        spending: BudgetState | None = None,
    ) -> IntArray:
        """Let the policy see `rows` of the batch in order; returns the rows that counted toward an incident.

        `spending`: the budget counts these samples; None: it is only asked.
        """
        hosts = policy.rows(batch.frame.hosts)
        breach = np.logical_or.reduce(batch.scores.breach, axis=1)
        slow = is_slow(batch.scores.by_detector, self.rules.alarm_score)
        counted = np.zeros(len(batch.frame), dtype=np.bool_)
        for part in rounds(batch.frame.code[rows]):
            at = rows[part]
            unusual, lasts = self._unusual(batch, at, slow[at], breach[at], spending)
            moves, mask = incident_policy.decide(
                policy,
                self.rules,
                hosts[batch.frame.code[at]],
                batch.frame.time[at],
                unusual,
                breach[at],
                lasts,
            )
            counted[at] = mask
            for row in at[incident_policy.begins(policy, hosts[batch.frame.code[at]], batch.frame.time[at])].tolist():
                desk.since[batch.frame.hosts[batch.frame.code[row]]] = int(batch.frame.time[row])
            if moves:
                moves = [move._replace(sample=int(at[move.sample])) for move in moves]
                desk.apply(self._without_suppressed(policy, moves, batch), policy.names, batch, out)
        return np.flatnonzero(counted)

    def _unusual(
        self, batch: Batch, at: IntArray, slow: BoolArray, breach: BoolArray, spending: BudgetState | None
    ) -> tuple[BoolArray, BoolArray | None]:
        """[n] over the host's threshold, or in the slow channel's way; and for long enough (None: not known)."""
        frame, time, distance = batch.frame, batch.frame.time[at], batch.scores.distance[at]
        counting = self.spending if spending is None else spending
        rows, limited = counting.rows(frame.hosts)[frame.code[at]], ~frame.simulated[frame.code[at]]
        if spending is None:
            bar = batch.unusual_from[at] = alert_budget.unusual_from(counting, self.budget, rows, time, limited)
            return slow | (distance >= bar), None
        sample = Sample(rows, time, distance, slow | breach, limited)
        watched = alert_budget.watch(counting, self.budget, sample)
        batch.unusual_from[at] = watched.unusual_from
        return slow | watched.over, watched.lasts

    def _batch(self, frame: Frame, scores: Scores, arrived: IntArray) -> Batch:
        return Batch(frame, scores, arrived, np.full(len(frame), self.budget.distance))

    def bar(self, host: str, at: int, *, simulated: bool = False) -> Bar:
        """From where on a sample of `host` at `at` (ms UTC) counts, by what is known of the host now."""
        row, distance = self.spending.find(host), self.budget.distance
        if row is not None:
            asked = np.array([row]), np.array([at]), np.array([not simulated])
            distance = float(alert_budget.unusual_from(self.spending, self.budget, *asked)[0])
        return Bar(distance, self.rules.alarm_score)

    def forgive(self, incident: Incident, by: int = 1) -> None:
        """It was a real one (`by` -1: it was not, after all): it no longer counts against the budget.

        Changes the state that a replay does not know of: a snapshot must be committed with whatever asked for it.
        """
        row = self.spending.find(incident.host)
        if row is not None and incident.reason is Reason.SCORE_PERSISTED:
            peak = float(distance_of(np.array([incident.peak_score]))[0])
            alert_budget.forgive(self.spending, row, incident.opened_at, peak, by)

    def threshold_if(self, incident: Incident, by: int) -> float | None:
        """Of its host, in scales, if `forgive` were called with this (0: as it is); None: the host has no budget."""
        row = self.spending.find(incident.host)
        if row is None or incident.simulated or not math.isfinite(self.budget.alerts_per_day):
            return None
        by = by if incident.reason is Reason.SCORE_PERSISTED else 0
        peak = float(distance_of(np.array([incident.peak_score]))[0])
        return alert_budget.threshold_if(self.spending, self.budget, row, incident.opened_at, peak, by)

    def _without_suppressed(self, policy: PolicyState, moves: Sequence[Transition], batch: Batch) -> list[Transition]:
        """The moves but those that a label keeps quiet: their samples stay marked, the incident is not opened."""
        told = []
        for move in moves:
            if self._is_suppressed(policy.names[move.row], move, batch):
                incident_policy.withdraw(policy, move.row)
                self.kept_quiet += 1
            else:
                told.append(move)
        return told

    def _is_suppressed(self, host: str, move: Transition, batch: Batch) -> bool:
        if move.move != OPENED or move.reason is not Reason.SCORE_PERSISTED:
            return False
        limits = self.scorer.limits_of([host])[0]
        evidence = explanation.evidence(batch.frame.values, batch.scores, limits, move.sample)
        found = culprits(evidence)
        if not found:
            return False
        metric, since = found[0].metric, self.desk.since.get(host, 0)
        if self.labels.suppresses(host, metric, found[0].direction):
            self._hushed[host] = metric, since
            return True
        # the value is back, the mean of the last samples is not yet: still what was kept quiet
        return _is_inside(evidence[0]) and self._hushed.get(host) == (metric, since)

    def _hear(self, batch: Batch, fresh: IntArray, out: Decided) -> None:
        """Only what is new now shows that a host is alive; history does not."""
        frame, arrived = batch.frame, batch.arrived_at
        live = fresh[arrived[fresh] - frame.time[fresh] <= HISTORY_AGE_MS]
        if not len(live):
            return
        now = int(arrived[live[-1]])
        moves = incident_policy.arrived(self.policy, self.policy.rows(frame.hosts)[frame.code[live]], now)
        self.desk.heard_again([self.policy.names[move.row] for move in moves], now, out)

    def _late(self, batch: Batch, late: IntArray, out: Decided) -> list[Anomaly]:
        """Samples behind what their host already showed: scored without learning. A long stretch of them is decided
        upon as a history of its own, whose incidents are over and told to nobody."""
        part = batch.frame.take(late)
        scores = self.scorer.score_late(part, self._pause)
        anomalies: list[Anomaly] = []
        if np.bincount(part.code).max() >= HISTORY_ROWS:
            desk = self.desk.aside()
            history = self._batch(part, scores, batch.arrived_at[late])
            counted = self._walk(PolicyState(), desk, history, last_of_each_instant(part), out, BudgetState())
            anomalies = _anomalies(desk, history, counted, out)
            desk.end_history(int(part.time.max()), out)
        batch.scores.put(late, scores)
        return anomalies


def _is_inside(item: Evidence) -> bool:
    if item.value is None or item.expected_low is None or item.expected_high is None:
        return False
    return item.expected_low <= item.value <= item.expected_high


def _anomalies(desk: Desk, batch: Batch, counted: IntArray, out: Decided) -> list[Anomaly]:
    """Mark the counted samples in the batch's scores and describe each."""
    if not len(counted):
        return []
    batch.scores.anomaly[counted] = anomaly_bits(batch.scores, counted)
    return _described(batch, counted, desk.count(batch, counted, out))


def _described(batch: Batch, rows: IntArray, incident_ids: Sequence[int | None]) -> list[Anomaly]:
    frame, scores = batch.frame, batch.scores
    breached = np.logical_or.reduce(scores.breach, axis=1)
    return [
        Anomaly(
            host=frame.hosts[frame.code[row]],
            time=int(frame.time[row]),
            values=tuple(None if np.isnan(value) else float(value) for value in frame.values[row]),
            score=float(scores.score[row]),
            reason="Threshold exceeded" if breached[row] else "ML model",
            incident_id=incident_id,
            contributions=tuple(scores.contributions[row].tolist()),
        )
        for row, incident_id in zip(rows.tolist(), incident_ids, strict=True)
    ]
