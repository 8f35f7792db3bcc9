"""ASGI applications on real sockets, and pages that listen to their streams."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import orjson
import uvicorn
from starlette.types import ASGIApp


@contextmanager
def served(app: ASGIApp, **options: Any) -> Iterator[str]:
    """The application on a free port of 127.0.0.1; gives its address."""
    usual = {"port": 0, "log_level": "error", "lifespan": "off", "timeout_graceful_shutdown": 1, "server_header": False}
    config = uvicorn.Config(app, **(usual | options))
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the server did not start"
        time.sleep(0.005)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(10)


class Page:
    """An open stream: its events and when they came (monotonic seconds), until it ends or is left."""

    def __init__(self, url: str, query: str = "topic=overview", **headers: str) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
        self._connection.request("GET", f"/api/stream?{query}", headers=headers)
        self._answer = self._connection.getresponse()
        self.status = self._answer.status
        self.events: list[tuple[float, str, Any]] = []
        self.ended = threading.Event()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        try:
            while line := self._answer.readline():
                if line.startswith(b"event: "):
                    data = orjson.loads(self._answer.readline().removeprefix(b"data: "))
                    self.events.append((time.monotonic(), line[7:-1].decode(), data))
        except (http.client.HTTPException, OSError):
            pass  # cut off
        self.ended.set()

    @property
    def names(self) -> list[str]:
        return [name for _, name, _ in self.events]

    def leave(self) -> None:
        self._connection.sock.shutdown(socket.SHUT_RDWR)
