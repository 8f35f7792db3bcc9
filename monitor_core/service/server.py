"""What a web server needs of what it serves: start and stop around its life, TCP_NODELAY, plain log lines."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import logging
import signal
import socket
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.util import find_spec
from types import FrameType
from typing import Protocol

from monitor_core.service.bootstrap import AlreadyRunning
from monitor_core.service.deadline import set_deadline
from monitor_core.storage.timeseries import StoreUnavailable
from monitor_core.storage.writer import StateUnavailable

MALLOPT_ARENA_MAX = -8  # M_ARENA_MAX in malloc.h
CANNOT_START = (AlreadyRunning, StateUnavailable, StoreUnavailable)


class Served(Protocol):
    """What a server has behind it: the service, or the gateway to one elsewhere."""

    def start(self) -> None: ...

    def end_streams(self) -> None:
        """In the loop's thread; streams never end by themselves."""

    def stop(self) -> None: ...


@asynccontextmanager
async def running(served: Served, request_seconds: float) -> AsyncIterator[None]:
    """It lives as long as the server does. A request has to arrive within `request_seconds`."""
    set_deadline(request_seconds)
    await asyncio.to_thread(served.start)
    end_streams_when_told_to_stop(served, asyncio.get_running_loop())
    if find_spec("uvloop") is None:
        set_no_delay()
    # what the imports left behind lives for ever: the collector need not look at it after every page run
    gc.freeze()
    try:
        yield
    finally:
        await asyncio.to_thread(served.stop)


def end_streams_when_told_to_stop(served: Served, loop: asyncio.AbstractEventLoop) -> None:
    """uvicorn waits for open streams before the lifespan may end: one open page would keep the process for ever."""
    if threading.current_thread() is not threading.main_thread():
        return  # a server in a thread (tests) gets no signals
    for number in (signal.SIGINT, signal.SIGTERM):
        _before(number, lambda: loop.call_soon_threadsafe(served.end_streams))


def _before(number: signal.Signals, act: Callable[[], object]) -> None:
    usual = signal.getsignal(number)

    def handle(number: int, frame: FrameType | None) -> None:
        act()
        if callable(usual):
            usual(number, frame)

    signal.signal(number, handle)


def set_no_delay() -> int:
    """TCP_NODELAY on every listening socket, inherited by its connections; returns how many there were.

    asyncio sets it only on sockets made with IPPROTO_TCP; without it a keep-alive POST waits 40 ms for an ACK.
    """
    listeners = [item for item in gc.get_objects() if isinstance(item, socket.socket) and _is_listening(item)]
    for listener in listeners:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return len(listeners)


def _is_listening(item: socket.socket) -> bool:
    try:
        internet = item.family in (socket.AF_INET, socket.AF_INET6) and item.type == socket.SOCK_STREAM
        return internet and bool(item.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    except OSError:
        return False


def share_memory() -> None:
    """Let threads share two of glibc's heaps: else each has its own, and what one frees stays with it, tens of MB.

    Other C libraries have no such heaps, and nothing happens.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(MALLOPT_ARENA_MAX, 2)


def log_plainly(level: str) -> None:
    """One line an event, to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger = logging.getLogger("monitor")
    logger.handlers = [handler]
    logger.setLevel(level)
    logger.propagate = False
