"""The original's way, for comparison: a service of two requests a sample, a synchronous write and a one-row predict.

`python -m benchmarks.original PORT DATABASE_URL` serves it as the original did (FastAPI, one worker). The database is a
local server that answers 204 at once, which is kinder than a real one, and its time is nobody's.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import orjson
import psutil
import uvicorn
from fastapi import FastAPI
from influxdb_client import InfluxDBClient, Point
from influxdb_client.client.write_api import SYNCHRONOUS
from pydantic import BaseModel
from sklearn.ensemble import IsolationForest

from tests.browser.conftest import ROOT


class Metrics(BaseModel):
    """The original's body."""

    cpu: float
    memory: float
    disk: float


def app(database: str) -> FastAPI:
    """POST /ingest writes a point, POST /predict asks the forest, both one sample at a time."""
    api = FastAPI()
    writer = InfluxDBClient(url=database, token="t", org="o").write_api(write_options=SYNCHRONOUS)
    model = IsolationForest(random_state=0).fit(np.random.default_rng(0).normal(40, 5, (40, 3)))

    @api.post("/ingest")
    async def ingest(metrics: Metrics) -> dict[str, str]:
        point = Point("system_metrics").field("cpu", metrics.cpu).field("memory", metrics.memory)
        writer.write(bucket="b", record=point.field("disk", metrics.disk))
        return {"status": "success"}

    @api.post("/predict")
    async def predict(metrics: Metrics) -> dict[str, str]:
        found = model.predict([[metrics.cpu, metrics.memory, metrics.disk]])[0]
        return {"prediction": "anomaly" if found == -1 else "normal"}

    return api


class OriginalService:
    """The served app in a process of its own, with its database."""

    def __init__(self, port: int) -> None:
        self._database = ThreadingHTTPServer(("127.0.0.1", 0), _Database)
        threading.Thread(target=self._database.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{self._database.server_address[1]}"
        command = [sys.executable, "-m", "benchmarks.original", str(port), url]
        self._process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
        self._usage = psutil.Process(self._process.pid)
        self._connection = HTTPConnection("127.0.0.1", port)
        while True:
            try:
                self.take(1)
            except OSError:
                self._connection.close()
                time.sleep(0.1)
            else:
                return

    def take(self, n: int) -> None:
        """n samples, each ingested and then asked about."""
        body = orjson.dumps({"cpu": 40.0, "memory": 41.0, "disk": 42.0})
        for _ in range(n):
            for path in ("/ingest", "/predict"):
                self._connection.request("POST", path, body, {"Content-Type": "application/json"})
                self._connection.getresponse().read()

    def cpu_us(self, n: int = 300) -> float:
        """CPU µs of the process per sample."""
        before = sum(self._usage.cpu_times()[:2])
        self.take(n)
        return (sum(self._usage.cpu_times()[:2]) - before) / n * 1e6

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(10)


class _Database(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    uvicorn.run(app(sys.argv[2]), port=int(sys.argv[1]), log_level="error")
