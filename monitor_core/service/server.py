"""What a web server needs of the service: start and stop around its life, TCP_NODELAY, plain log lines."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec

from monitor_core.service.bootstrap import AlreadyRunning, Service
from monitor_core.storage.timeseries import StoreUnavailable
from monitor_core.storage.writer import StateUnavailable

CANNOT_START = (AlreadyRunning, StateUnavailable, StoreUnavailable)


@asynccontextmanager
async def running(service: Service) -> AsyncIterator[None]:
    """The service lives as long as the server does."""
    await asyncio.to_thread(service.start)
    if find_spec("uvloop") is None:
        set_no_delay()
    # what the imports left behind lives for ever: the collector need not look at it after every page run
    gc.freeze()
    try:
        yield
    finally:
        await asyncio.to_thread(service.stop)


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


def log_plainly(level: str) -> None:
    """One line an event, to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger = logging.getLogger("monitor")
    logger.handlers = [handler]
    logger.setLevel(level)
    logger.propagate = False
