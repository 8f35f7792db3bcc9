"""Recordings: labelled CSV files through a monitor that starts empty for each of them, held against their labels.

Labels stand in the file (columns label and culprit) or in a JSON file that names events by the numbers of a host's
samples, first and last included.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path

import msgspec
import numpy as np

from monitor_core.frame import IntArray
from monitor_core.metrics import METRICS
from monitor_core.service.bootstrap import LEVELS_APART, build_judge
from monitor_core.service.evaluating import Judged, Trainer, Truth, Verdict, compare, play
from monitor_core.settings import Settings
from monitor_core.sources import labelled_csv
from monitor_core.sources.labelled_csv import NotReadable, Recorded


class Labels(msgspec.Struct):
    """`events` of one host, what `kinds` they are and which metrics were their `culprits`, if anybody knows.

    The first `train` samples are seen but not judged.
    """

    events: list[tuple[int, int]]
    train: int = 0
    kinds: list[str] = []
    culprits: list[list[str]] = []


def read_labels(path: Path) -> dict[str, Labels]:
    """By host, or by file name without its ending. Raises NotReadable."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Labels])
    except (OSError, msgspec.MsgspecError) as error:
        raise NotReadable(f"{path} cannot be read: {error}") from None


def evaluate(path: Path, labels: Mapping[str, Labels], settings: Settings, *, forest: bool) -> Verdict:
    """Raises NotReadable."""
    recorded = labelled_csv.read(path)
    if not len(recorded.frame):
        raise NotReadable(f"{path} has no sample that can be used: {recorded.rejected[0].reason}")
    judged = judge_all(recorded, settings, forest=forest)
    truths, begin = truths_of(recorded, path, labels)
    return compare(judged, truths, _interval_ms(settings), begin)


def judge_all(recorded: Recorded, settings: Settings, *, forest: bool) -> Judged:
    """What the service would have said."""
    judge = build_judge(settings)
    trainer = Trainer(judge, LEVELS_APART * _interval_ms(settings)) if forest else None
    return play([recorded.frame], judge, _interval_ms(settings), trainer)


def truths_of(recorded: Recorded, path: Path, labels: Mapping[str, Labels]) -> tuple[list[Truth], dict[str, int]]:
    """The events that the file and the labels tell of, and when (ms UTC) judging a host begins."""
    frame, found, begin = recorded.frame, [], {}
    for place, host in enumerate(frame.hosts):
        rows = np.flatnonzero(frame.code == place)
        rows = rows[np.argsort(frame.time[rows], kind="stable")]
        given = labels.get(host) or labels.get(path.name.split(".")[0])
        if given is not None:
            begin[host] = int(frame.time[rows[min(given.train, len(rows) - 1)]])
            found += _by_number(host, frame.time[rows], given, path)
        found += _by_column(host, rows, recorded)
    return found, begin


def _by_number(host: str, time: IntArray, given: Labels, path: Path) -> list[Truth]:
    found = []
    for number, (first, last) in enumerate(given.events):
        if not 0 <= first <= last < len(time):
            raise NotReadable(f"{path} has {len(time)} samples of {host}, so no event from {first} to {last}")
        kind = given.kinds[number] if number < len(given.kinds) else "event"
        culprits = given.culprits[number] if number < len(given.culprits) else []
        found.append(Truth(host, int(time[first]), int(time[last]) + 1, kind, _known(culprits)))
    return found


def _by_column(host: str, rows: IntArray, recorded: Recorded) -> list[Truth]:
    """Runs of the same label. A label of 1 is an event of no special kind."""
    found = []
    for label, run in groupby(rows.tolist(), key=lambda row: recorded.label[row]):
        if label:
            span = list(run)
            start, stop = int(recorded.frame.time[span[0]]), int(recorded.frame.time[span[-1]]) + 1
            kind = "event" if label in {"1", "1.0"} else label
            found.append(Truth(host, start, stop, kind, _known(recorded.culprit[span[0]].split("+"))))
    return found


def _known(culprits: Sequence[str]) -> tuple[str, ...]:
    return tuple(key for key in culprits if key in METRICS)


def _interval_ms(settings: Settings) -> int:
    return int(settings.sample_interval_seconds * 1000)
