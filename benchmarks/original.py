"""The original's way, for comparison: per sample one synchronous write over HTTP and one one-row predict.

The database is a local server that answers 204 at once, which is kinder than a real one.
"""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
from influxdb_client import InfluxDBClient, Point
from influxdb_client.client.write_api import SYNCHRONOUS
from sklearn.ensemble import IsolationForest


class OriginalWay:
    """One sample at a time: Point, write, predict."""

    def __init__(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Database)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._writer = InfluxDBClient(url=url, token="t", org="o").write_api(write_options=SYNCHRONOUS)
        normal = np.random.default_rng(0).normal(40, 5, (40, 3))
        self._model = IsolationForest(random_state=0).fit(normal)

    def take(self, cpu: float, memory: float, disk: float) -> None:
        point = Point("system_metrics").field("cpu", cpu).field("memory", memory).field("disk", disk)
        self._writer.write(bucket="b", record=point)
        self._model.predict([[cpu, memory, disk]])


class _Database(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass
