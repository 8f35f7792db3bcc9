"""An InfluxDB that does what a script says: it answers as a real v2.7.12 was seen to, and remembers every line it took.

It knows no Flux: questions are answered as from an empty database. What real answers look like is in tests/contracts.
"""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

POISON = b"poison"
Answer = tuple[int, str, dict[str, str]]


def refusal(status: int, message: str, **headers: str) -> Answer:
    """As the server words it."""
    return status, json.dumps({"code": "error", "message": message}), headers


class InfluxStub:
    """Context manager. `script` answers the next writes, `always` all of them (None: as a healthy server).

    `lines` is {series: {time: line}} per bucket; `out_of_order` counts samples older than one of their series before.
    A host named poison is refused as a line that does not parse; `conflict` is a host whose lines are dropped.
    """

    def __init__(self, *, quotes: bool = True, most_bytes: int = 50 << 20, delay: float = 0.0) -> None:
        self.script: list[Answer] = []
        self.always: Answer | None = None
        self.conflict: bytes | None = None
        self.lines: dict[str, dict[bytes, dict[int, bytes]]] = {}
        self.requests: list[tuple[str, int]] = []
        self.repeated = self.out_of_order = 0
        self._quotes, self._most_bytes, self._delay = quotes, most_bytes, delay
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> InfluxStub:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def samples(self, bucket: str) -> int:
        """Distinct (series, time) that were taken."""
        return sum(len(times) for times in self.lines.get(bucket, {}).values())

    def write(self, bucket: str, body: bytes) -> Answer:
        """What the server does with a body."""
        with self._lock:
            self.requests.append((bucket, body.count(b"\n") + 1))
            if self.script:
                return self.script.pop(0)
            if self.always is not None:
                return self.always
            if len(body) > self._most_bytes:
                return refusal(413, "request entity too large")
            lines = body.split(b"\n")
            bad = [line for line in lines if POISON in line]
            if bad:
                quoted = "\n".join(f"unable to parse '{line.decode()}': missing field value" for line in bad)
                return refusal(400, quoted if self._quotes else "unable to parse points")
            dropped = [line for line in lines if self.conflict is not None and self.conflict in line]
            for line in lines:
                if line not in dropped:
                    self._take(bucket, line)
            if dropped:
                why = 'partial write: field type conflict: input field "cpu" is type integer, already exists as float'
                return refusal(422, f"failure writing points to database: {why} dropped={len(dropped)}")
        return 204, "", {}

    def _take(self, bucket: str, line: bytes) -> None:
        series, _, rest = line.partition(b" ")
        at = int(rest.rpartition(b" ")[2])
        known = self.lines.setdefault(bucket, {}).setdefault(series, {})
        if at in known:
            self.repeated += 1
        elif known and at < next(reversed(known)):
            self.out_of_order += 1
        known[at] = line

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                parts = urlsplit(self.path)
                time.sleep(stub._delay)
                if parts.path == "/api/v2/write":
                    self._answer(*stub.write(parse_qs(parts.query)["bucket"][0], body))
                elif parts.path == "/api/v2/query" and stub.always is not None:
                    self._answer(*stub.always)
                else:
                    self._answer(200 if parts.path == "/api/v2/query" else 204, "", {})

            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                if stub.always is not None:
                    self._answer(*stub.always)
                elif parts.path == "/api/v2/buckets":
                    self._answer(200, json.dumps({"buckets": [bucket(parse_qs(parts.query)["name"][0])]}), {})
                else:
                    self._answer(204, "", {"X-Influxdb-Version": "v2.7.12"})

            def _answer(self, status: int, body: str, headers: dict[str, str]) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name.replace("_", "-"), value)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_: object) -> None:
                pass

        return Handler


def bucket(name: str) -> dict[str, Any]:
    """A bucket that somebody else made, kept for ever."""
    return {"id": "1", "orgID": "2", "name": name, "retentionRules": [{"type": "expire", "everySeconds": 0}]}
