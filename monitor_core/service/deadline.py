"""Deadline: a request must arrive whole in time; uvicorn by itself waits for ever, and holds a buffer meanwhile.

At the connection, not around the application: so that it counts for everything the server answers, for a head that
never ends, and for a body that goes on dripping when the answer has long been given.
"""

from __future__ import annotations

import asyncio
import gc
from http import HTTPStatus

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from monitor_core.service.access import Problem, problem_response


class InTime(HttpToolsProtocol):
    """uvicorn's own protocol, and a clock that runs while something of a request is missing."""

    seconds = 30.0
    _until: float | None = None
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn's own narrows it too
        super().connection_made(transport)
        self._expect()

    def data_received(self, data: bytes) -> None:
        # empty lines between two requests are no request, but they would keep uvicorn from closing an idle connection
        if self._until is None and (self.cycle is None or self.cycle.response_complete):
            self._expect()
        super().data_received(data)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._expect()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._until = None

    def handle_websocket_upgrade(self) -> None:
        self._forget_timer()
        super().handle_websocket_upgrade()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_timer()
        super().connection_lost(exc)

    def _expect(self) -> None:
        """One timer a connection: requests come far more often than it ends."""
        self._until = self.loop.time() + self.seconds
        if self._timer is None:
            self._timer = self.loop.call_at(self._until, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._until is None or self.transport.is_closing():
            return
        if self._until > self.loop.time():
            self._timer = self.loop.call_at(self._until, self._look)
            return
        if self.cycle is not None and not self.cycle.response_started and not self.pipeline:
            self.transport.write(too_late(self.seconds))
        self.transport.close()  # the application hears that the client has gone

    def _forget_timer(self) -> None:
        self._until = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def too_late(seconds: float) -> bytes:
    """408, as bytes of a connection that ends with it."""
    answer = problem_response(Problem(408, f"The request did not arrive within {seconds:g} seconds."))
    headers = [*answer.raw_headers, (b"connection", b"close")]
    lines = [b"HTTP/1.1 408 %b" % HTTPStatus(408).phrase.encode(), *(b"%b: %b" % header for header in headers)]
    return b"\r\n".join([*lines, b"", bytes(answer.body)])


def set_deadline(seconds: float) -> int:
    """For every server of this process that has not begun to listen; returns how many there were.

    Streamlit makes its server itself and has no option for the protocol, so that it has to be found.
    """
    own = type("InTime", (InTime,), {"seconds": seconds})
    found = [item for item in gc.get_objects() if isinstance(item, uvicorn.Config) and item.loaded]
    configs = [config for config in found if config.http_protocol_class is HttpToolsProtocol]
    for config in configs:
        config.http_protocol_class = own
    return len(configs)
