"""What only InfluxDB has: points that others wrote, hosts without a tag, buckets. Recorded like the contract."""

import numpy as np
import pytest

from monitor_core.frame import make_frame
from monitor_core.scores import empty_scores
from monitor_core.storage.timeseries import Anomaly, StoreUnavailable, Tier
from tests.builders import T0, one
from tests.contracts.conftest import InfluxPlace, RecordedPlace

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
PLACES = {"recorded": RecordedPlace, "influxdb": InfluxPlace}


@pytest.fixture(params=["recorded", pytest.param("influxdb", marks=pytest.mark.external_service)])
def place(request, tmp_path):
    found = PLACES[request.param](tmp_path, f"only-{request.node.name.replace(request.param, '')}")
    yield found
    found.clear()


@pytest.fixture
def store(place):
    opened = place.open()
    yield opened
    opened.close()


def original_lines(n=1200, step=3_000):
    """As the original's script wrote them: no tag, three fields."""
    return b"\n".join(
        b"system_metrics cpu=%d.0,memory=40.5,disk=60.0 %d" % (20 + i % 10, T0 + i * step) for i in range(n)
    )


def test_points_without_a_host_are_those_of_default(store):
    store.write(one("web-1"), empty_scores(1, 4))
    store._connection.write(store._buckets.raw, original_lines(100))
    series = store.series("default", T0, T0 + HOUR, 2_000)
    assert (len(series.time), series.mean[3, 0]) == (100, 23.0)
    assert sorted(store.latest(T0).host_names()) == ["default", "web-1"]
    assert len(store.series("web-1", T0, T0 + HOUR, 2_000).time) == 1


def test_samples_that_fit_are_read_in_one_request_and_one_more_makes_buckets(store, monkeypatch):
    store.health()
    store._connection.write(store._buckets.raw, original_lines(100))
    asked, query = [], store._connection.query
    monkeypatch.setattr(store._connection, "query", lambda *question: asked.append(question) or query(*question))
    fits = store.series("default", T0 + 3_000, T0 + HOUR, 99)
    assert (fits.bucket_ms, fits.time[0], len(fits.time), len(asked)) == (0, T0 + 3_000, 99, 1)
    more = store.series("default", T0 + 3_000, T0 + HOUR, 98)
    assert more.bucket_ms > 0
    assert more.count[:, 0].sum() == 99


def test_what_was_there_before_is_rolled_up_little_by_little(store):
    store.health()
    store._connection.write(store._buckets.raw, original_lines())
    store.maintain(T0 + 3 * HOUR)
    day = store.series("default", T0 - 20 * HOUR, T0 + 4 * HOUR, 1_440)
    assert (day.tier, len(day.time), day.count[0, 0]) == (Tier.MINUTE, 60, 20)
    assert day.minimum[0, 0] == 20.0


def test_the_originals_anomalies_are_in_the_log_beside_ours(store):
    store.write_anomalies(
        [Anomaly("web-1", T0 + 5, (99.0, 40.0, None, None), 0.9, 'Threshold "x\\', 3, (1.0, 0, 0, 0))]
    )
    store._connection.write(store._buckets.raw, b"anomalies cpu=95.0,memory=90.0,disk=95.0 %d" % T0)
    ours, theirs = store.anomalies(T0, T0 + HOUR)
    assert (ours.host, ours.reason, ours.incident_id, ours.contributions) == (
        "web-1",
        'Threshold "x\\',
        3,
        (1.0, 0, 0, 0),
    )
    assert (theirs.host, theirs.time, theirs.values[:3]) == ("default", T0, (95.0, 90.0, 95.0))


def test_a_sample_written_again_with_fewer_metrics_loses_the_others(store):
    values = np.array([[1.0, 2, 3, 4], [5, 6, 7, 8]])
    store.write(make_frame([T0, T0 + 1], ["a", "a"], values), empty_scores(2, 4))
    store.write(make_frame([T0], ["a"], [[9, np.nan, 3, 4]]), empty_scores(1, 4))
    series = store.series("a", T0, T0 + MINUTE, 10)
    assert np.array_equal(series.mean, [[9, np.nan, 3, 4], [5, 6, 7, 8]], equal_nan=True)


def test_buckets_are_made_with_their_own_retention_and_change_with_the_settings(place):
    store = place.open()
    assert store.health().reachable
    kept = store._connection.bucket(store._buckets.minute).retention_rules[0].every_seconds
    store.close()
    assert kept == 90 * 86_400
    store = place.open(minute_days=60)
    assert store.health().notices == ()
    assert store._connection.bucket(store._buckets.minute).retention_rules[0].every_seconds == 60 * 86_400
    store.close()


def test_a_fault_in_the_answer_is_a_fault(store):
    from monitor_core.storage.influxdb.flux import Question

    with pytest.raises(StoreUnavailable, match="InfluxDB answers 400"):
        store._reader.tables(Question("from(bucket: bucket) |> nonsense()", {"bucket": store._buckets.raw}))
