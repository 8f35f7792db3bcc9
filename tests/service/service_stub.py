"""A service that is not there: it remembers what it was asked, and does what a test's script says."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

HELLO = b'event: hello\ndata: {"now":%d,"interval_ms":3000}\n\n'


@dataclass(frozen=True)
class Asked:
    """One request as the service got it; header names are in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


class ServiceStub:
    """`then` queues what the next request meets (else 200 and {}); `die` and `start` take the port away and back."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.script: deque[Callable[[Any], None]] = deque()
        self.streams: list[socket.socket] = []
        self.now_ms = 1_800_000_000_000
        self._port = 0
        self._sending = threading.Lock()
        self.start()
        self.url = f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        stub = self

        class Handler(_Handler):
            service = stub

        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), Handler)
        self._server.daemon_threads = True
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def die(self) -> None:
        """As after kill -9: nobody listens, and every connection is cut."""
        self._server.shutdown()
        self._server.server_close()
        for stream in self.streams:
            with contextlib.suppress(OSError):  # the other side was quicker
                stream.shutdown(socket.SHUT_RDWR)
        self.streams.clear()

    def then(self, *acts: Callable[[Any], None]) -> None:
        self.script.extend(acts)

    def begin(self, stream: socket.socket) -> None:
        """Say hello on it; whoever has seen that gets everything sent from then on."""
        with self._sending:
            stream.sendall(_chunk(HELLO % self.now_ms))
            self.streams.append(stream)

    def send(self, event: bytes) -> None:
        """To every open stream."""
        with self._sending:  # two threads would mix their pieces
            for stream in self.streams:
                stream.sendall(_chunk(event))

    def beat(self) -> None:
        """From now on ten pings a second, until the streams end."""

        def go_on() -> None:
            with contextlib.suppress(OSError):
                while self.streams:
                    self.send(b'event: ping\ndata: {"now":%d}\n\n' % self.now_ms)
                    time.sleep(0.1)

        threading.Thread(target=go_on, daemon=True).start()

    def __enter__(self) -> ServiceStub:
        return self

    def __exit__(self, *_: object) -> None:
        self.die()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    service: ServiceStub

    def handle_one(self) -> None:
        length = int(self.headers.get("content-length", 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.service.asked.append(Asked(self.command, self.path, headers, self.rfile.read(length)))
        if self.service.script:
            self.service.script.popleft()(self)
        elif self.path.startswith("/api/stream"):
            stream(self)
        else:
            answer(200, b"{}")(self)

    do_GET = do_POST = do_HEAD = handle_one  # noqa: N815 - http.server's names

    def log_message(self, *_: object) -> None:
        pass


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def answer(status: int, body: bytes = b"", **headers: str) -> Callable[[Any], None]:
    """Header names with _ for -."""

    def act(handler: Any) -> None:
        handler.send_response(status)
        for name, value in {"Content_Type": "application/json", **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return act


def stream(handler: Any) -> None:
    """A live stream that says hello and then what `ServiceStub.send` is given."""
    handler.send_response(200)
    handler.send_header("Content-Type", "text/event-stream; charset=utf-8")
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    handler.service.begin(handler.connection)
    while handler.connection in handler.service.streams:
        time.sleep(0.02)


def hang_up(handler: Any) -> None:
    """The connection ends without an answer."""
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


def hang(seconds: float) -> Callable[[Any], None]:
    """Nothing for so long, then 200."""

    def act(handler: Any) -> None:
        time.sleep(seconds)
        answer(200, b"{}")(handler)

    return act
