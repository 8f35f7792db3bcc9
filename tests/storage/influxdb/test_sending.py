"""What is done with each answer of the server, against a stub that answers as a real v2.7.12 was seen to."""

import math

import pytest

from monitor_core.scores import empty_scores
from monitor_core.storage.influxdb.connection import Connection
from monitor_core.storage.influxdb.sending import send
from monitor_core.storage.influxdb.store import InfluxStore
from monitor_core.storage.timeseries import StoreUnavailable
from tests.builders import one, steady
from tests.storage.influxdb.stub import InfluxStub, refusal

TOKEN = "canary-token"


@pytest.fixture
def stub():
    with InfluxStub() as running:
        yield running


def connect(stub):
    return Connection(stub.url, TOKEN, "monitor")


def lines(n, bad=()):
    return b"\n".join(b"m,host=%s cpu=1.0 %d" % (b"poison" if i in bad else b"h%d" % i, i) for i in range(n))


def test_what_is_taken_is_there(stub):
    assert send(connect(stub), "b", lines(100)) == []
    assert stub.samples("b") == 100


@pytest.mark.parametrize("bad", [(0,), (500,), (999,), (3, 4, 700)])
def test_a_line_that_does_not_parse_costs_one_sample_and_one_more_request(stub, bad):
    refused = send(connect(stub), "b", lines(1000, bad))
    assert [item.sample for item in refused] == [f"m,host=poison cpu=1.0 {i}" for i in bad]
    assert refused[0].reason == "missing field value"
    assert stub.samples("b") == 1000 - len(bad)
    assert len(stub.requests) == 2


def test_a_bad_line_that_is_not_quoted_is_found_by_halves():
    with InfluxStub(quotes=False) as stub:
        refused = send(connect(stub), "b", lines(1000, (321,)))
        assert [item.sample for item in refused] == ["m,host=poison cpu=1.0 321"]
        assert stub.samples("b") == 999
        assert len(stub.requests) <= 2 * math.ceil(math.log2(1000)) + 1


def test_after_a_partial_write_only_the_dropped_line_is_missing(stub):
    stub.conflict = b"host=h42 "
    refused = send(connect(stub), "b", lines(100))
    assert [item.sample for item in refused] == ["m,host=h42 cpu=1.0 42"]
    assert "field type conflict" in refused[0].reason
    assert stub.samples("b") == 99


def test_points_older_than_the_retention_are_the_oldest_ones(stub):
    stub.script = [refusal(422, "partial write: dropped 2 points outside retention policy")]
    refused = send(connect(stub), "b", lines(10))
    assert [item.sample.rpartition(" ")[2] for item in refused] == ["0", "1"]
    assert len(stub.requests) == 1


def test_a_body_that_is_too_large_is_sent_in_halves():
    with InfluxStub(most_bytes=5_000) as stub:
        assert send(connect(stub), "b", lines(1000)) == []
        assert stub.samples("b") == 1000


@pytest.mark.parametrize(
    ("answer", "needs_operator", "retry_after"),
    [
        (refusal(401, "unauthorized access"), True, None),
        (refusal(403, "insufficient permissions"), True, None),
        (refusal(404, 'bucket "b" not found'), True, None),
        (refusal(429, "too many requests", Retry_After="7"), False, 7.0),
        (refusal(503, "unavailable", Retry_After="86400"), False, 86400.0),
        (refusal(503, "unavailable", Retry_After="soon"), False, None),
        (refusal(500, "timeout"), False, None),
    ],
)
def test_what_may_get_better_is_kept(stub, answer, needs_operator, retry_after):
    stub.always = answer
    with pytest.raises(StoreUnavailable) as fault:
        send(connect(stub), "b", lines(5))
    assert (fault.value.needs_operator, fault.value.retry_after_seconds) == (needs_operator, retry_after)
    assert TOKEN not in str(fault.value)


def test_a_server_that_is_not_there_is_said_without_its_address():
    with InfluxStub() as stub:
        gone = Connection(stub.url, TOKEN, "monitor")
    with pytest.raises(StoreUnavailable, match=r"^InfluxDB cannot be reached \(NewConnection\)$"):
        gone.write("b", lines(1))


def test_the_store_names_the_sample_that_the_server_refuses(stub, tmp_path):
    store = InfluxStore(connect(stub), "b", tmp_path)
    frame = steady(("poison", "web-1"), n=50)
    refused = store.write(frame, empty_scores(100, 4))
    assert len(refused) == 50
    assert stub.samples("b") == 50
    store.close()


def test_numbers_are_always_written_as_floats_and_missing_ones_not_at_all(stub, tmp_path):
    store = InfluxStore(connect(stub), "b", tmp_path)
    store.write(one(cpu=5, memory=40, disk=50), empty_scores(1, 4))
    (line,) = stub.lines["b"][b"system_metrics,host=web-1"].values()
    assert line.split(b" ")[1] == b"cpu=5.0,memory=40.0,disk=50.0,score=0.0"
    store.close()


def test_a_token_that_may_not_create_a_bucket_is_told_what_to_do(stub, tmp_path):
    stub.always = refusal(401, "write:orgs/2/buckets is unauthorized")
    store = InfluxStore(connect(stub), "b", tmp_path)
    with pytest.raises(StoreUnavailable) as fault:
        store.write(one(), empty_scores(1, 4))
    assert fault.value.needs_operator
    store.close()


def test_a_bucket_of_somebody_else_keeps_its_retention_and_the_difference_is_said(stub, tmp_path):
    store = InfluxStore(connect(stub), "b", tmp_path)
    store.write(one(), empty_scores(1, 4))
    assert store.health().notices[0] == "The bucket b keeps its points for ever, not 30 days as set here."
    store.close()
