"""Real answers of a real InfluxDB, kept beside the contract that asked for them.

No server that runs Flux can be had where CI runs. So `make record` runs the contract against the server in INFLUXDB_URL
through a proxy that writes every request and answer down, and every other run answers from that file: the request must
be the recorded one to the letter (the Flux text, what is bound to it, the lines written), or the test fails.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import threading
import urllib.error
import urllib.request
from dataclasses import asdict, dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

KEPT_HEADERS = ("Content-Type", "X-Influxdb-Version", "Retry-After")
LONGEST_BODY = 4_000


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and its answer; a long body is kept as its digest."""

    method: str
    path: str
    body: str
    status: int
    headers: dict[str, str]
    answer: str


def shown(body: bytes) -> str:
    return body.decode() if len(body) <= LONGEST_BODY else f"sha256:{hashlib.sha256(body).hexdigest()}"


class Played:
    """A server on loopback: with `target` it asks that one and records, without it answers from the recording."""

    def __init__(self, file: Path, target: str | None) -> None:
        self._file, self._target = file, target
        self._lock = threading.Lock()
        self.exchanges: list[Exchange] = [] if target else self._load()
        self.next = 0
        self.surprises: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def _load(self) -> list[Exchange]:
        assert self._file.exists(), f"there is no recording {self._file.name}: run `make record` with a real server"
        return [Exchange(**row) for row in json.loads(gzip.decompress(self._file.read_bytes()))]

    def close(self) -> None:
        """Raises AssertionError when the requests were not the recorded ones."""
        self._server.shutdown()
        self._server.server_close()
        if self._target:
            self._file.parent.mkdir(exist_ok=True)
            rows = json.dumps([asdict(exchange) for exchange in self.exchanges], indent=0).encode()
            self._file.write_bytes(gzip.compress(rows, 9, mtime=0))
        else:
            assert self.surprises == [], "a question has changed: run `make record` with a real server"
            assert self.next == len(self.exchanges), "recorded questions were not asked: run `make record`"

    def answer(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Exchange:
        with self._lock:
            return self._record(method, path, body, headers) if self._target else self._replay(method, path, body)

    def _replay(self, method: str, path: str, body: bytes) -> Exchange:
        wanted = self.exchanges[self.next] if self.next < len(self.exchanges) else None
        if wanted is None or (wanted.method, wanted.path, wanted.body) != (method, path, shown(body)):
            self.surprises.append(f"{method} {path} {shown(body)}\nrecorded: {wanted and (wanted.path, wanted.body)}")
            return Exchange(method, path, "", 500, {}, '{"message": "not the recorded request"}')
        self.next += 1
        return wanted

    def _record(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Exchange:
        request = urllib.request.Request(f"{self._target}{path}", body or None, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as found:
                status, given, answer = found.status, found.headers, found.read()
        except urllib.error.HTTPError as error:
            status, given, answer = error.code, error.headers, error.read()
        kept = {name: given[name] for name in KEPT_HEADERS if given.get(name)}
        exchange = Exchange(method, path, shown(body), status, kept, answer.decode())
        self.exchanges.append(exchange)
        return exchange


def _handler(played: Played) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            passed = {
                name: self.headers[name] for name in ("Authorization", "Content-Type", "Accept") if self.headers[name]
            }
            found = played.answer(self.command, self.path, body, passed)
            self.send_response(found.status)
            for name, value in found.headers.items():
                self.send_header(name, value)
            answer = found.answer.encode()
            if found.status != 204:
                self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def do_GET(self) -> None:
            self._serve()

        def do_POST(self) -> None:
            self._serve()

        def do_PATCH(self) -> None:
            self._serve()

        def log_message(self, *_: object) -> None:
            pass

    return Handler
