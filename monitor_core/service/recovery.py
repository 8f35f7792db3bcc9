"""Recovery: how a start finds its way back to the moment of the last commit.

1 load the labels and snapshots, 2 judge again what was already decided (without deciding), 3 take over the committed
incidents, 4 hand what was acknowledged but never decided to the pipeline. Storing finds its own way through it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

import numpy as np

from monitor_core.frame import Frame
from monitor_core.service.judge import Judge
from monitor_core.service.pipeline import Pipeline
from monitor_core.service.storing import Storing
from monitor_core.storage.journal import Entry, Journal
from monitor_core.storage.state import Decided, StateStore

log = logging.getLogger("monitor.recovery")

PART = 200
SNAPSHOTS = ("hosts", "policy", "budget")


def recover(pipeline: Pipeline, storing: Storing, judge: Judge, journal: Journal, state: StateStore, now: int) -> None:
    """Bring a freshly built pipeline to where the last one was."""
    positions = state.positions(("scored", "stored"))
    storing.stored_position, storing.scored_position = positions["stored"], positions["scored"]
    pipeline.scored_position = positions["scored"]
    pipeline.known = {host.name: host for host in state.hosts()}
    for record in state.labels():
        judge.labelled(record)
    _replay(judge, journal, _load_snapshots(judge, state), positions["scored"])
    judge.adopt(state.open_incidents(), state.last_incident_id(), now)
    judge.take_kept_quiet()
    state.recover(now)
    pipeline.resume(list(_entries(journal, positions["scored"], None)))


def _load_snapshots(judge: Judge, state: StateStore) -> int:
    """The position of the snapshot, 0 when there is none that this version can read."""
    found = {name: state.snapshot(name) for name in SNAPSHOTS}
    blobs = {name: saved[1] for name, saved in found.items() if saved}
    try:
        judge.restore(blobs if len(blobs) == len(SNAPSHOTS) else {})
    except (ValueError, KeyError) as error:
        log.warning("detectors start again without their memory: %s", error)
        return 0
    return min((saved[0] for saved in found.values() if saved), default=0)


def _replay(judge: Judge, journal: Journal, after: int, through: int) -> None:
    """The same samples in the same order bring the judge to the same state; what comes out was committed before."""
    for entry in _entries(journal, after, through):
        frame = Frame.from_bytes(entry.body)
        arrived = np.full(len(frame), entry.arrived_at)
        judge.ways[entry.kind](frame, arrived, Decided())


def _entries(journal: Journal, after: int, through: int | None) -> Iterator[Entry]:
    while part := journal.after(after, PART):
        for entry in part:
            if through is not None and entry.position > through:
                return
            yield entry
        after = part[-1].position
