"""Copying: everything of one time-series store into another, hour by hour, newest hours last.

An hour counts as copied once it was read back and its samples are the same to the bit. Progress is kept in a small
file, so that a copy that was stopped goes on where it was; doing an hour twice is harmless. Where the source keeps no
raw samples any more its rollups are copied as they are.
"""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from monitor_core.frame import Frame
from monitor_core.scores import Scores
from monitor_core.storage.timeseries import TIER_MS, Series, Tier, TimeSeriesStore

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
STRETCH_MS = 4 * HOUR_MS
ROWS_A_WRITE = 20_000


class CopyFailed(Exception):
    """What arrived is not what was sent; the message says when and how much."""


@dataclass(slots=True)
class Progress:
    """How far a copy is. Times ms UTC; `done_until` is where it goes on."""

    start: int
    stop: int
    done_until: int
    samples: int = 0
    rollups: int = 0
    anomalies: int = 0
    seconds: float = 0.0

    def line(self) -> str:
        share = (self.done_until - self.start) / max(1, self.stop - self.start)
        rate = self.samples / self.seconds if self.seconds else 0.0
        return f"{share:4.0%}  {self.samples:,} samples, {rate:,.0f} a second, read back and the same"


def copy(
    source: TimeSeriesStore, target: TimeSeriesStore, progress: Progress, tell: Callable[[Progress], None]
) -> Progress:
    """From `progress.done_until` to its stop. Raises CopyFailed, StoreUnavailable; `progress` says how far it came."""
    began, before = time.monotonic(), progress.seconds
    _copy_rollups(source, target, progress)
    with ThreadPoolExecutor(1) as reader:  # a stretch is read back while the next one is written
        waiting: Future[Stretch] | None = None
        for start, stop in _stretches(progress):
            sent = _send(source, target, start, stop)
            if waiting is not None:
                _done(progress, waiting.result(), before + time.monotonic() - began, tell)
            waiting = reader.submit(_read_back, target, sent)
        if waiting is not None:
            _done(progress, waiting.result(), before + time.monotonic() - began, tell)
    target.maintain(progress.stop)
    return progress


@dataclass(frozen=True, slots=True)
class Stretch:
    """A few hours that were sent: how many samples and anomalies, and the checksum of the samples."""

    start: int
    stop: int
    sent: Checksum
    anomalies: int


def _stretches(progress: Progress) -> Iterator[tuple[int, int]]:
    at = progress.done_until
    while at < progress.stop:
        stop = min(progress.stop, at - at % STRETCH_MS + STRETCH_MS)
        yield at, stop
        at = stop


def _send(source: TimeSeriesStore, target: TimeSeriesStore, start: int, stop: int) -> Stretch:
    sent = Checksum()
    for frame, scores in source.scan(start, stop):
        sent.add(frame, scores)
        for part, own in _parts(frame, scores):
            refused = target.write(part, own)
            if refused:
                raise CopyFailed(f"{len(refused)} samples were refused ({refused[0].reason}); is --since too far back?")
    anomalies = source.anomalies(start, stop, limit=1_000_000)
    target.write_anomalies(anomalies)
    if start // DAY_MS != stop // DAY_MS:
        target.maintain(stop)
    return Stretch(start, stop, sent, len(anomalies))


def _read_back(target: TimeSeriesStore, stretch: Stretch) -> Stretch:
    arrived, sent = Checksum(), stretch.sent
    if sent.samples:
        for frame, scores in target.scan(stretch.start, stretch.stop):
            arrived.add(frame, scores)
    if (arrived.samples, arrived.value) != (sent.samples, sent.value):
        raise CopyFailed(
            f"between {_utc(stretch.start)} and {_utc(stretch.stop)} {sent.samples:,} samples were sent,"
            f" {arrived.samples:,} are there (checksums {sent.value:016x} and {arrived.value:016x});"
            " did something else write to it?"
        )
    return stretch


def _done(progress: Progress, stretch: Stretch, seconds: float, tell: Callable[[Progress], None]) -> None:
    progress.samples += stretch.sent.samples
    progress.anomalies += stretch.anomalies
    progress.done_until, progress.seconds = stretch.stop, seconds
    tell(progress)


class Checksum:
    """Of samples in any order: host, time, values and score, to the bit."""

    def __init__(self) -> None:
        self.samples, self.value = 0, 0

    def add(self, frame: Frame, scores: Scores) -> None:
        own = np.array([zlib.crc32(host.encode()) for host in frame.hosts], dtype=np.uint64)
        rows = own[frame.code] ^ _mixed(frame.time.astype(np.uint64))
        # a missing value has many bit patterns; here it has one. -0.0 and 0.0 stay two
        table = np.where(np.isnan(frame.values), np.nan, frame.values)
        for m, column in enumerate([*np.ascontiguousarray(table.T), scores.score, scores.anomaly.astype(np.float64)]):
            rows = _mixed(rows + np.ascontiguousarray(column).view(np.uint64) + np.uint64(m))
        self.samples += len(frame)
        self.value = (self.value + int(rows.sum(dtype=np.uint64))) & 0xFFFFFFFFFFFFFFFF


def _mixed(x: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The finaliser of splitmix64 (Steele, Lea, Flood 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _parts(frame: Frame, scores: Scores) -> Iterator[tuple[Frame, Scores]]:
    for first in range(0, len(frame), ROWS_A_WRITE):
        rows = np.arange(first, min(first + ROWS_A_WRITE, len(frame)))
        yield frame.take(rows), scores.take(rows)


def _copy_rollups(source: TimeSeriesStore, target: TimeSeriesStore, progress: Progress) -> None:
    """The rollups of times from before the first raw sample; all others are made anew from raw samples."""
    first = next((int(frame.time.min()) for frame, _ in source.scan(progress.done_until, progress.stop)), progress.stop)
    stop = min(progress.stop, first - first % HOUR_MS + HOUR_MS)
    for host in source.hosts():
        for tier, span in ((Tier.HALF_HOUR, 120 * DAY_MS), (Tier.MINUTE, 4 * DAY_MS)):
            for start in range(progress.done_until, stop, span):
                series = _of_tier(source, host, start, min(start + span, stop), tier)
                if series is not None and len(series.time):
                    target.put_rollup(series)
                    progress.rollups += len(series.time)


def _of_tier(source: TimeSeriesStore, host: str, start: int, stop: int, tier: Tier) -> Series | None:
    """The buckets of just this tier; None where the source has only a wider one."""
    width = TIER_MS[tier]
    begin, end = start - start % width, -(-stop // width) * width
    found = source.series(host, begin, end, (end - begin) // width)
    return found if found.tier is tier and found.bucket_ms == width else None


def load(path: Path, start: int, stop: int) -> Progress:
    """Where an earlier copy of the same source and target stopped; from the beginning when there was none."""
    if path.exists():
        found = Progress(**json.loads(path.read_text()))
        if found.start <= start:
            found.stop = stop
            return found
    return Progress(start, stop, start)


def save(path: Path, progress: Progress) -> None:
    """Written anew and renamed, so that a crash leaves the old one or the new one."""
    fields = {name: getattr(progress, name) for name in Progress.__slots__}
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps(fields))
    draft.replace(path)


def _utc(ms: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(ms / 1000))
