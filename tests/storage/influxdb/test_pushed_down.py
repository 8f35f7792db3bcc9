"""Every question that a page asks is answered by InfluxDB's storage itself: shown by the server's own profiler."""

import re
import uuid

import pytest
from influxdb_client import Dialect, InfluxDBClient
from influxdb_client.client.query_api import QueryOptions

from monitor_core.metrics import METRICS
from monitor_core.scores import empty_scores
from monitor_core.storage.influxdb import flux, rollup_points
from monitor_core.storage.influxdb.connection import Connection
from monitor_core.storage.influxdb.reading import RAW_FIELDS
from monitor_core.storage.influxdb.store import InfluxStore
from tests.builders import T0, steady
from tests.external import influxdb_server

pytestmark = pytest.mark.external_service
HOUR = 3_600_000
FILTER, WINDOW = "readFilterSource", "readWindowAggregateSource"
WINDOWS = {"min": METRICS, "mean": METRICS, "max": METRICS, "count": METRICS}
QUESTIONS = {
    "raw samples of a host": (lambda b: flux.samples(b, RAW_FIELDS, T0, T0 + HOUR, ["web-1"]), FILTER),
    "raw samples of hosts": (lambda b: flux.samples(b, RAW_FIELDS, T0, T0 + HOUR, ["web-1", "web-2"]), FILTER),
    "raw samples of the host without a tag": (lambda b: flux.samples(b, METRICS, T0, T0 + HOUR, ["default"]), FILTER),
    "rollups of a host": (lambda b: flux.samples(b, rollup_points.FIELDS, T0, T0 + HOUR, ["web-1"]), FILTER),
    "windows of a host": (lambda b: flux.windows(b, WINDOWS, T0, T0 + HOUR, 60_000, "web-1"), WINDOW),
    "windows of all hosts": (lambda b: flux.windows(b, WINDOWS, T0, T0 + HOUR, 60_000, None), WINDOW),
    "how many samples": (lambda b: flux.counts(b, METRICS, T0, T0 + HOUR, "web-1", "count"), WINDOW),
    "a range and the samples": (
        lambda b: flux.band_and_samples(b, rollup_points.BANDS, b, RAW_FIELDS, T0, T0 + HOUR, "web-1", 100),
        FILTER,
    ),
    "the anomaly log of a host": (lambda b: flux.anomalies(b, T0, T0 + HOUR, "web-1", 10), FILTER),
    "how many in all": (lambda b: flux.counts(b, rollup_points.COUNTS, T0, T0 + HOUR, None, "sum"), WINDOW),
    "the newest sample of every host": (lambda b: flux.newest(b, METRICS, T0, T0 + HOUR), WINDOW),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    url, token, org = influxdb_server()
    connection, bucket = Connection(url, token, org), f"pushed-{uuid.uuid4().hex[:8]}"
    store = InfluxStore(connection, bucket, tmp_path_factory.mktemp("pending"))
    frame = steady(("web-1", "web-2", "default"), n=200)
    store.write(frame, empty_scores(len(frame), 4))
    with InfluxDBClient(url, token, org=org) as client:
        yield client, bucket
    for name in ("", "_minute", "_half_hour", "_anomalies"):
        connection.remove_bucket(f"{bucket}{name}")
    store.close()


def operators(client, question):
    """The names of the steps that the server took."""
    api = client.query_api(QueryOptions(profilers=["operator"]))
    answer = api.query_raw(question.text, dialect=Dialect(annotations=[]), params=question.params).data.decode()
    return re.findall(r"profiler/operator,\*?([\w.]+),", answer)


@pytest.mark.parametrize("name", QUESTIONS)
def test_it_is_pushed_down(server, name):
    client, bucket = server
    ask, source = QUESTIONS[name]
    question = ask(bucket)
    steps = operators(client, question)
    sources = source if isinstance(source, tuple) else (source,) * len(question.text.splitlines())
    assert sorted(step for step in steps if step.startswith("influxdb.")) == sorted(f"influxdb.{s}" for s in sources)
    if name != "the anomaly log of a host":  # rare points: what follows the storage's answer costs nothing there
        after = {s for s in steps if not s.startswith("influxdb.")}
        assert after <= {"universe.schemaMutationTransformation", "universe.limitTransformation"}


@pytest.mark.parametrize(
    "host", ['web-1" or true or r.host=="', "x\\", '") |> drop(columns: ["_value"]) //', "web-1\n"]
)
def test_a_hostile_name_is_data_and_finds_nothing(server, host):
    client, bucket = server
    question = flux.samples(bucket, METRICS, T0, T0 + HOUR, [host])
    assert (
        client.query_api()
        .query_raw(question.text, dialect=Dialect(annotations=[]), params=question.params)
        .data.strip()
        == b""
    )
