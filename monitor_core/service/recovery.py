"""Recovery: how a start finds its way back to the moment of the last commit.

1 load the labels and snapshots, 2 teach hosts that are missing in them the last hour that the store has of them,
3 judge again what was already decided (without deciding), 4 take over the committed incidents, 5 hand what was
acknowledged but never decided to the pipeline. Storing finds its own way through the journal.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from itertools import groupby

import numpy as np

from monitor_core.detection.host_state import HostState
from monitor_core.frame import Frame
from monitor_core.service.judge import Judge
from monitor_core.service.pipeline import Pipeline
from monitor_core.service.storing import Storing
from monitor_core.storage.journal import Entry, EntryKind, Journal
from monitor_core.storage.state import Decided, StateStore
from monitor_core.storage.timeseries import StoreUnavailable, TimeSeriesStore

log = logging.getLogger("monitor.recovery")

PART = 200
SNAPSHOTS = ("hosts", "policy", "budget")
FURTHER = ("since", "hushed")
HOUR_MS, LOOK_BACK_MS = 3_600_000, 86_400_000
TAUGHT_AT_ONCE = 100  # hosts; an hour of them at a sample each 3 s is 120,000 rows


def recover(
    pipeline: Pipeline,
    storing: Storing,
    judge: Judge,
    journal: Journal,
    state: StateStore,
    store: TimeSeriesStore,
    now: int,
) -> None:
    """Bring a freshly built pipeline to where the last one was."""
    positions = state.positions(("scored", "stored"))
    storing.stored_position, storing.scored_position = positions["stored"], positions["scored"]
    pipeline.scored_position = positions["scored"]
    pipeline.known = {host.name: host for host in state.hosts()}
    for record in state.labels():
        judge.labelled(record)
    position = _load_snapshots(judge, state)
    try:
        if not pipeline.known or any(_is_new(judge.scorer.state, host) for host in pipeline.known):
            _teach(judge, store, now, _first_samples(journal, position))
    except StoreUnavailable as error:
        log.warning("hosts without a memory start cold: %s", error)
    _replay(judge, journal, position, positions["scored"])
    judge.adopt(state.open_incidents(), state.last_incident_id(), now)
    judge.take_kept_quiet()
    state.recover(now)
    pipeline.resume(list(_entries(journal, positions["scored"], None)))


def _load_snapshots(judge: Judge, state: StateStore) -> int:
    """The position of the snapshot, 0 when there is none that this version can read."""
    found = {name: state.snapshot(name) for name in SNAPSHOTS}
    blobs = {name: saved[1] for name, saved in found.items() if saved}
    for name in FURTHER:
        own = state.snapshot(name)
        if own and all(saved and saved[0] == own[0] for saved in found.values()):
            blobs[name] = own[1]
    try:
        judge.restore(blobs if all(found.values()) else {})
    except (ValueError, KeyError) as error:
        log.warning("detectors start again without their memory: %s", error)
        return 0
    return min((saved[0] for saved in found.values() if saved), default=0) if all(found.values()) else 0


def _teach(judge: Judge, store: TimeSeriesStore, now: int, journal_from: Mapping[str, int]) -> None:
    """Let the scorer learn the last hour of each host that it does not know, up to what the journal will bring.

    Nothing is decided: what was unusual in that hour was told when it was new. Raises StoreUnavailable.
    """
    latest = store.latest(now - LOOK_BACK_MS)
    memory = judge.scorer.state
    until = dict(zip((latest.hosts[code] for code in latest.code.tolist()), latest.time.tolist(), strict=True))
    until = {host: min(at + 1, journal_from.get(host, at + 1)) for host, at in until.items() if _is_new(memory, host)}
    for group in _near_in_time(until):
        for frame, _ in store.scan(until[group[0]] - HOUR_MS, until[group[-1]], group):
            stop = np.array([until.get(host, 0) for host in frame.hosts])[frame.code]
            judge.scorer.score(frame.take((frame.time < stop) & (frame.time >= stop - HOUR_MS)))
    if until:
        log.info("%d hosts without a memory were taught their last hour from the store", len(until))


def _near_in_time(until: Mapping[str, int]) -> Iterator[list[str]]:
    """Hosts in order of their newest sample, in groups that end within the same hour."""
    for _, near in groupby(sorted(until, key=lambda host: until[host]), lambda host: until[host] // HOUR_MS):
        hosts = list(near)
        yield from (hosts[i : i + TAUGHT_AT_ONCE] for i in range(0, len(hosts), TAUGHT_AT_ONCE))


def _is_new(memory: HostState, host: str) -> bool:
    row = memory.find(host)
    return row is None or memory.samples[row] == 0


def _first_samples(journal: Journal, after: int) -> dict[str, int]:
    """The oldest sample (ms UTC) of each host among those that are judged from the journal."""
    first: dict[str, int] = {}
    for entry in _entries(journal, after, None):
        if entry.kind is EntryKind.SAMPLES:
            frame = Frame.from_bytes(entry.body)
            for code, at in zip(frame.code.tolist(), frame.time.tolist(), strict=True):
                first[frame.hosts[code]] = min(at, first.get(frame.hosts[code], at))
    return first


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
