import itertools
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from monitor_core.sources.push import PushClient, PushFailed
from simulator.__main__ import main, original_profile
from tests.builders import one


@pytest.fixture
def backend():
    bodies, statuses = [], []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            bodies.append(
                (self.path, dict(self.headers), json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            )
            answer = b'{"status":"success","accepted":1,"rejected":[]}'
            self.send_response(statuses.pop(0) if statuses else 200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}", bodies, statuses
    server.shutdown()
    server.server_close()


def test_the_original_profile_posts_what_the_original_posted(backend):
    url, bodies, _ = backend
    assert main(["--url", url, "--count", "3", "--interval", "0.01"]) == 0
    path, _, body = bodies[0]
    assert (path, sorted(body), len(bodies)) == ("/ingest", ["cpu", "disk", "memory", "timestamp"], 3)
    assert len(body["timestamp"]) == 26


def test_one_sample_in_ten_is_anomalous():
    samples = list(itertools.islice(original_profile(1), 5_000))
    assert 0.08 < sum(sample["cpu"] >= 90 for sample in samples) / 5_000 < 0.12


def test_the_fleet_profile_posts_all_hosts_in_columns_and_marks_them(backend):
    url, bodies, _ = backend
    main(["--url", url, "--count", "1", "--profile", "fleet", "--hosts", "4"])
    body = bodies[0][2]
    assert body["host"] == ["web-1", "web-2", "api-1", "db-1"]
    assert body["simulated"] == [True] * 4


def test_a_fleet_of_no_hosts_ends_at_once(backend, monkeypatch):
    url, bodies, _ = backend
    monkeypatch.setenv("SIMULATED_HOSTS", "0")
    assert main(["--url", url, "--profile", "fleet"]) == 0
    assert bodies == []


def test_what_could_not_be_sent_is_sent_later(backend):
    url, bodies, statuses = backend
    statuses += [503, 503]
    main(["--url", url, "--count", "3", "--interval", "0.01"])
    assert [body["timestamp"] for _, _, body in bodies[2:]] == sorted({body["timestamp"] for _, _, body in bodies})


def test_the_token_is_sent(backend):
    url, bodies, _ = backend
    PushClient(url, "canary").send(one())
    assert bodies[0][1]["Authorization"] == "Bearer canary"


def test_a_failure_has_a_reason():
    with pytest.raises(PushFailed, match="cannot be reached"):
        PushClient("http://127.0.0.1:1").send(one())
