"""A Slack that does what a script says: one answer per request, then 200 for ever."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SECRET_PATH = "/services/T000/B000/canary-secret"
Answer = tuple[int, dict[str, str]]
HANG, RESET = (0, {"hang": "1"}), (0, {"reset": "1"})


class SlackStub:
    """Context manager; `url` is a webhook, `bodies` what came with the time it came, `delay` seconds per answer."""

    def __init__(self, script: list[Answer] | None = None, delay: float = 0.0) -> None:
        self.script, self.delay = list(script or []), delay
        self.bodies: list[dict[str, Any]] = []
        self.times: list[float] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}{SECRET_PATH}"

    def __enter__(self) -> SlackStub:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def texts(self) -> list[str]:
        return [body["text"] for body in self.bodies]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        stub = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status, headers = stub.script.pop(0) if stub.script else (200, {})
                time.sleep(stub.delay)
                if "reset" in headers:
                    self.connection.close()
                    return
                if status == 200:
                    stub.bodies.append(body)
                    stub.times.append(time.monotonic())
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *_: object) -> None:
                pass

        return Handler
