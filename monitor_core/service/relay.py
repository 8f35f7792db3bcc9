"""Relay: a live stream of the service, subscribed once for each topic or host and passed on to every open page.

A thread reads the service's stream; everything else happens in the server's event loop, so there are no locks.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson

from monitor_core.service.access import Problem
from monitor_core.service.live import Subscriber, encode

log = logging.getLogger("monitor.relay")

LINGER_SECONDS = 3.0
MOST_CHANNELS = 256  # each has a thread here and a stream at the service
GONE = "The service does not answer."
Events = Callable[[str, str | None], Iterator[bytes]]


@dataclass(eq=False)
class Channel:
    """One subscription at the service and the pages that share it. `over`: why it has ended."""

    topic: str
    host: str | None
    loop: asyncio.AbstractEventLoop
    subscribers: set[Subscriber] = field(default_factory=set)
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    over: str | None = None
    greeting: dict[str, Any] = field(default_factory=dict)
    ahead_ms: float = 0.0  # the service's clock, as this process' monotonic time has it

    def hello(self) -> bytes:
        """For a page that comes later: the service's hello, at the service's present time."""
        return encode("hello", self.greeting | {"now": round(time.monotonic() * 1000 + self.ahead_ms)})


class Relay:
    """All channels. `events` reads one stream of the service and raises Problem."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self._channels: dict[tuple[str, str | None], Channel] = {}

    async def follow(self, topic: str, host: str | None) -> AsyncIterator[bytes]:
        """The events for one page, once the service has said hello. Raises Problem."""
        channel = self._channels.get((topic, host)) or self._begin(topic, host)
        await channel.settled.wait()
        if channel.over:
            raise Problem(503, channel.over, {"Retry-After": "1"})
        return self._follow(channel)

    def end(self) -> None:
        """Let every page go. In the loop's thread."""
        for channel in list(self._channels.values()):
            self._is_over(channel, GONE)

    async def _follow(self, channel: Channel) -> AsyncIterator[bytes]:
        subscriber = Subscriber(channel.topic, channel.host, channel.loop)
        channel.subscribers.add(subscriber)
        try:
            # it may have ended between the answer's head and its body: then nobody would end this stream
            if not channel.over:
                yield channel.hello()
                while (event := await subscriber.queue.get()) is not None:
                    yield event
        finally:
            channel.subscribers.discard(subscriber)
            self._end_if_unused_later(channel)

    def _begin(self, topic: str, host: str | None) -> Channel:
        if len(self._channels) >= MOST_CHANNELS:
            raise Problem(503, "Too many different streams are open.", {"Retry-After": "5"})
        channel = self._channels[topic, host] = Channel(topic, host, asyncio.get_running_loop())
        threading.Thread(target=self._read, args=(channel,), name=f"relay {topic}", daemon=True).start()
        return channel

    def _read(self, channel: Channel) -> None:
        """The channel's thread."""
        why = GONE
        try:
            for event in self._events(channel.topic, channel.host):
                if channel.over:
                    return
                self._tell(channel, self._take, channel, event, greeting(event), time.monotonic() * 1000)
        except Problem as problem:
            why = problem.detail
        except Exception:
            log.exception("the service's live stream cannot be read")
        self._tell(channel, self._is_over, channel, why)

    @staticmethod
    def _tell(channel: Channel, act: Callable[..., None], *args: Any) -> None:
        try:
            channel.loop.call_soon_threadsafe(act, *args)
        except RuntimeError:  # the loop has ended: the server is going down
            channel.over = GONE

    def _take(self, channel: Channel, event: bytes, greeting: dict[str, Any] | None, at_ms: float) -> None:
        if greeting:
            channel.greeting |= greeting
            channel.ahead_ms = greeting["now"] - at_ms
        if not channel.settled.is_set():  # the first event is hello, and every page gets its own
            channel.settled.set()
            self._end_if_unused_later(channel)  # those who waited for it may have left
            return
        for subscriber in channel.subscribers:
            subscriber.offer(event)

    def _is_over(self, channel: Channel, why: str) -> None:
        """The next page begins a new one; the thread ends with the next event, at the latest with the next ping."""
        if self._channels.get((channel.topic, channel.host)) is channel:
            del self._channels[channel.topic, channel.host]
        channel.over = why
        channel.settled.set()
        for subscriber in channel.subscribers:
            subscriber.offer(None)

    def _end_if_unused_later(self, channel: Channel) -> None:
        """A page that is left for the next one comes back within a moment."""
        if not channel.subscribers:
            channel.loop.call_later(LINGER_SECONDS, self._end_if_unused, channel)

    def _end_if_unused(self, channel: Channel) -> None:
        if not channel.subscribers:
            self._is_over(channel, GONE)


def greeting(event: bytes) -> dict[str, Any] | None:
    """What a hello or a ping says, the service's `now` at least; None: another event. As `live.encode` writes them."""
    if not event.startswith((b"event: hello\n", b"event: ping\n")):
        return None
    data = orjson.loads(event.partition(b"\ndata: ")[2])
    return {**data, "now": int(data["now"])}
