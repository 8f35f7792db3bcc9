"""Live: the newest sample of every host, and one encoded delta to every open browser.

Samples of several steps within a few hundredths of a second go out together; an event is encoded once, however many
pages are open. A page that cannot keep up is let go: it reconnects and asks for the state anew.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import orjson

from monitor_core.frame import HISTORY_AGE_MS, BoolArray, FloatArray, Frame, IntArray
from monitor_core.host_arrays import NEVER, HostArrays
from monitor_core.incidents import Incident, Kind, Severity
from monitor_core.metrics import METRICS
from monitor_core.scores import Scores

GATHER_SECONDS = 0.05
PING_SECONDS = 2.0
QUEUE = 200
LATE_GAPS, UNKNOWN_GAP_MS = 3.0, 20_000.0
_M = len(METRICS)


class Latest(HostArrays):
    """What every host showed last."""

    COLUMNS: ClassVar = {
        "time": ((), np.int64, NEVER),
        "values": ((_M,), np.float64, np.nan),
        "low": ((_M,), np.float64, np.nan),
        "high": ((_M,), np.float64, np.nan),
        "score": ((), np.float64, 0.0),
        "warm": ((), np.bool_, False),
    }
    time: IntArray
    values: FloatArray
    low: FloatArray
    high: FloatArray
    score: FloatArray
    warm: BoolArray

    def take(self, frame: Frame, scores: Scores) -> IntArray:
        """Remember the newest sample of each host in the frame; returns the rows that changed."""
        rows = self.rows(frame.hosts)[frame.code]
        order = np.argsort(frame.time, kind="stable")
        newer = order[frame.time[order] > self.time[rows[order]]]
        at = rows[newer]
        self.time[at], self.values[at], self.score[at] = frame.time[newer], frame.values[newer], scores.score[newer]
        self.low[at], self.high[at] = scores.expected_low[newer], scores.expected_high[newer]
        self.warm[at] = scores.warm[newer]
        return np.unique(at)


@dataclass(eq=False)
class Subscriber:
    """One open stream; `topic` is a page, `host` narrows it to one host."""

    topic: str
    host: str | None
    loop: asyncio.AbstractEventLoop
    queue: asyncio.Queue[bytes | None] = field(default_factory=lambda: asyncio.Queue(QUEUE))

    def offer(self, event: bytes | None) -> None:
        """In the loop's thread."""
        if self.queue.full():
            while not self.queue.empty():
                self.queue.get_nowait()
            event = None
        self.queue.put_nowait(event)


def encode(event: str, data: Any) -> bytes:
    """One server-sent event."""
    return b"event: %b\ndata: %b\n\n" % (event.encode(), orjson.dumps(data, option=orjson.OPT_SERIALIZE_NUMPY))


class Live:
    """The hub. `today` gives the day's counters, `open_incidents` the open ones, `gaps` the usual gap per host (ms)."""

    def __init__(
        self,
        today: Callable[[], dict[str, int]],
        open_incidents: Callable[[], Sequence[Incident]],
        gaps: Callable[[Sequence[str]], FloatArray],
        now_ms: Callable[[], int],
    ) -> None:
        self._today, self._open_incidents, self._gaps, self._now_ms = today, open_incidents, gaps, now_ms
        self.latest = Latest()
        self._lock = threading.Lock()
        self._changed: set[int] = set()
        self._samples: list[tuple[Frame, Scores]] = []
        self._incidents_changed = False
        self._subscribers: set[Subscriber] = set()
        self._wake = threading.Event()
        self._stopping = False

    @property
    def streams(self) -> int:
        return len(self._subscribers)

    def subscribe(self, topic: str, host: str | None, loop: asyncio.AbstractEventLoop) -> Subscriber:
        subscriber = Subscriber(topic, host, loop)
        with self._lock:
            self._subscribers.add(subscriber)
        return subscriber

    def unsubscribe(self, subscriber: Subscriber) -> None:
        with self._lock:
            self._subscribers.discard(subscriber)

    def outcome(self, frame: Frame, scores: Scores) -> None:
        """A step of the pipeline is done."""
        with self._lock:
            self._changed.update(self.latest.take(frame, scores).tolist())
            if any(s.host for s in self._subscribers):
                self._samples.append((frame, scores))
        self._wake.set()

    def incidents(self) -> None:
        """Some incident opened, changed or ended."""
        self._incidents_changed = True
        self._wake.set()

    def send(self, topic: str, event: str, data: Any) -> None:
        """To every page of a topic, from any thread."""
        encoded = encode(event, data)
        self._deliver(encoded, lambda s: s.topic == topic)

    def broadcast(self, event: str, data: Any) -> None:
        """To every page, from any thread."""
        self._deliver(encode(event, data), lambda _: True)

    def forget(self, host: str) -> None:
        with self._lock:
            row = self.latest.find(host)
            if row is not None:
                self.latest.reset(row)

    def run(self) -> None:
        """The gathering thread, until `stop`."""
        pause = threading.Event()
        while not self._stopping:
            self._wake.wait()
            pause.wait(GATHER_SECONDS)
            self._wake.clear()
            self.flush()

    def stop(self) -> None:
        self._stopping = True
        self._wake.set()
        self.end_streams()

    def end_streams(self) -> None:
        self._deliver(None, lambda _: True)

    def flush(self) -> None:
        """Send what has gathered."""
        with self._lock:
            changed, self._changed = sorted(self._changed), set()
            samples, self._samples = self._samples, []
            incidents, self._incidents_changed = self._incidents_changed, False
            topics = {subscriber.topic for subscriber in self._subscribers}
            hosts = {subscriber.host for subscriber in self._subscribers if subscriber.host}
        if incidents:
            event = encode("incidents", {"open": list(self._open_incidents())})
            self._deliver(event, lambda _: True)
        if changed and "overview" in topics:
            self._deliver(encode("fleet", self._delta(np.array(changed))), lambda s: s.topic == "overview")
        for host in hosts:
            self._deliver_to_host(host, self._samples_of(host, samples))

    def states(self, names: Sequence[str], rows: IntArray) -> list[str]:
        """One word per host: critical, unusual, silent, late, warming or normal."""
        open_ones = {(i.host, i.kind): i for i in self._open_incidents()}
        gaps = np.nan_to_num(self._gaps(names), nan=UNKNOWN_GAP_MS)
        late = self._now_ms() - self.latest.time[rows] > np.maximum(LATE_GAPS * gaps, 3_000)
        warm = self.latest.warm[rows]
        out = []
        for i, name in enumerate(names):
            abnormal = open_ones.get((name, Kind.ABNORMAL))
            if (name, Kind.SILENT) in open_ones:
                out.append("silent")
            elif abnormal is not None:
                out.append("critical" if abnormal.severity is Severity.CRITICAL else "unusual")
            elif late[i]:
                out.append("late")
            else:
                out.append("normal" if warm[i] else "warming")
        return out

    def _delta(self, rows: IntArray) -> dict[str, Any]:
        latest = self.latest
        names = [latest.names[row] for row in rows.tolist()]
        columns = zip(
            names,
            latest.time[rows].tolist(),
            latest.values[rows].tolist(),
            latest.score[rows].tolist(),
            self.states(names, rows),
            latest.warm[rows].astype(np.float64).tolist(),
            np.round(latest.low[rows], 1).tolist(),
            np.round(latest.high[rows], 1).tolist(),
            strict=True,
        )
        known = latest.time[: len(latest.names)]
        recent = latest.values[: len(latest.names)][known > known.max(initial=NEVER) - 60_000]
        with np.errstate(invalid="ignore"):
            spread = quantiles(recent)
        fleet = {key: spread[:, m].tolist() for m, key in enumerate(METRICS)}
        return {"t": int(known.max(initial=0)), "fleet": fleet, "hosts": list(columns), "today": self._today()}

    def _samples_of(self, host: str, samples: Sequence[tuple[Frame, Scores]]) -> list[bytes]:
        row = self.latest.find(host)
        events = []
        # a past that is brought in is no news: the page reads it from the store, and it would overrun every queue
        fresh = self._now_ms() - HISTORY_AGE_MS
        for frame, scores in samples:
            if host not in frame.hosts or row is None:
                continue
            state = self.states([host], np.array([row]))[0]
            for i in np.flatnonzero((frame.code == frame.hosts.index(host)) & (frame.time >= fresh)).tolist():
                data = {
                    "t": int(frame.time[i]),
                    "v": frame.values[i].tolist(),
                    "score": float(scores.score[i]),
                    "low": np.round(scores.expected_low[i], 1).tolist(),
                    "high": np.round(scores.expected_high[i], 1).tolist(),
                    "anomaly": int(scores.anomaly[i]),
                    "state": state,
                }
                events.append(encode("sample", data))
        return events

    def _deliver_to_host(self, host: str, events: Sequence[bytes]) -> None:
        for event in events:
            self._deliver(event, lambda s: s.host == host)

    def _deliver(self, event: bytes | None, wanted: Callable[[Subscriber], bool]) -> None:
        with self._lock:
            to = [subscriber for subscriber in self._subscribers if wanted(subscriber)]
        for subscriber in to:
            try:
                subscriber.loop.call_soon_threadsafe(subscriber.offer, event)
            except RuntimeError:  # its loop has ended: the server is going down
                self.unsubscribe(subscriber)


def quantiles(values: FloatArray) -> FloatArray:
    """[3, m]: 5 %, 50 % and 95 % over the hosts [n, m]; NaN where no host has the metric."""
    out = np.full((3, values.shape[1]), np.nan)
    for m in range(values.shape[1]):
        column = values[:, m][~np.isnan(values[:, m])]
        if len(column):
            out[:, m] = np.round(np.quantile(column, (0.05, 0.5, 0.95)), 1)
    return out
