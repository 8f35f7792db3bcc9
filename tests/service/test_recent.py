"""GET /metrics from memory: value for value what the store would have answered, whatever came in which order."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator

import numpy as np
import orjson
import pytest

from monitor_core.frame import make_frame
from monitor_core.metrics import METRICS
from monitor_core.scores import empty_scores
from monitor_core.service import original_api
from monitor_core.service.history import AHEAD_MS, MOST_OF_HOST
from monitor_core.service.recent import RECENT_MS, Recent
from monitor_core.storage.influxdb.connection import Connection
from tests.builders import FakeClock
from tests.conftest import client_of, settled, until
from tests.external import influxdb_server
from tests.service.test_original_api import NORMAL, now_ms
from tests.storage.influxdb.stub import InfluxStub, refusal

MINUTE = 60_000
HOSTS = ("a", "b", "c")
POINTS = 2_000


@pytest.fixture(params=["embedded", pytest.param("influxdb", marks=pytest.mark.external_service)])
def store(request) -> Iterator[dict[str, str]]:
    """Settings that choose the store."""
    if request.param == "embedded":
        yield {}
        return
    url, token, org = influxdb_server()
    bucket = f"recent-{uuid.uuid4().hex[:8]}"
    yield {"influxdb_url": url, "influxdb_token": token, "influxdb_org": org, "influxdb_bucket": bucket}
    for suffix in ("", "_minute", "_half_hour", "_anomalies"):
        Connection(url, token, org).remove_bucket(f"{bucket}{suffix}")


@pytest.fixture
def asked(monkeypatch):
    """How often a started service's store was asked for a series."""
    calls = []

    def watch(service):
        series = service.store.series
        monkeypatch.setattr(service.store, "series", lambda *given: calls.append(given) or series(*given))
        return calls

    return watch


def post(service, times, host="a", cpu=30.0):
    """Scored, perhaps not stored yet."""
    frame = make_frame(times, [host] * len(times), [[cpu, 40, 50, np.nan]] * len(times))
    last = service.pipeline.accept(frame).result(5)
    until(lambda: service.pipeline.scored_position >= last)


def span():
    """The ten minutes that end now."""
    now = now_ms()
    return now - 10 * MINUTE, now + 1


def same_as_store(service, host, start, stop, points=POINTS):
    """What memory answers (None: it does not) is what the store answers, to the bit."""
    found = service.history.remembered(host, start, stop, points)
    if found is not None:
        stored = service.store.series(host, start, stop, points)
        assert found[0].tolist() == stored.time.tolist()
        assert found[1].tobytes() == stored.mean.tobytes()
    return found is not None


def expire(service, monkeypatch):
    """So much time passes that memory is compared with the store again."""
    clock = service.clock.monotonic
    monkeypatch.setattr(service.clock, "monotonic", lambda: clock() + 400)


def random_frame(rng):
    """Ticks, late and repeated samples, an instant twice, a past that is brought in, samples ahead of the clock."""
    n, now = int(rng.integers(1, 40)), now_ms()
    width, end = [(1, now), (20 * MINUTE, now), (3 * 60 * MINUTE, now), (4 * MINUTE, now + 4 * MINUTE)][
        rng.integers(0, 4)
    ]
    times = end - rng.integers(0, max(width // 3_000, 1), n) * 3_000 // 6_000 * 6_000
    values = np.round(rng.uniform(0, 100, (n, len(METRICS))), int(rng.integers(0, 5)))
    if rng.random() < 0.5:
        values[:, 3] = np.nan
    return make_frame(times, rng.choice(HOSTS, n).tolist(), values)


@pytest.mark.parametrize("seed", range(4))
def test_memory_answers_as_the_store_does(start, store, seed):
    rng, hits = np.random.default_rng(seed), 0
    service = start(**store)
    for _ in range(40):
        for _ in range(int(rng.integers(1, 4))):
            service.pipeline.accept(random_frame(rng)).result(5)
            service.history.samples(str(rng.choice(HOSTS)), *span(), POINTS)
        if rng.random() < 0.1:
            service = start(**store)
        if rng.random() < 0.2 and not store:  # the other store's is the scheduler's alone
            service.store.maintain(now_ms() + 60 * MINUTE)
        settled(service)
        for host in HOSTS:
            now = now_ms()
            begin = now - int(rng.integers(0, 14)) * MINUTE
            hits += same_as_store(service, host, begin, begin + int(rng.integers(0, 19 * MINUTE)), POINTS)
    assert hits > 60


def test_the_answer_is_the_one_of_before_byte_for_byte(service, client):
    rng = np.random.default_rng(0)
    times = np.unique(now_ms() - rng.integers(1, 500_000, 100) // 50 * 50)
    values = np.where(rng.random((len(times), 4)) < 0.1, np.nan, rng.uniform(0, 100, (len(times), 4)))
    values[:, 0] = 1 / 3
    service.pipeline.accept(make_frame(times, ["a"] * len(times), values)).result(5)
    settled(service)
    columns = {key: np.round(values[:, m], 3).tolist() for m, key in enumerate(METRICS)}
    wanted = {"timestamps": [original_api.isoformat(at) for at in times.tolist()], **columns, "host": "a"}
    for _ in range(2):
        assert client.get("/metrics?host=a").content == orjson.dumps(wanted, option=orjson.OPT_SERIALIZE_NUMPY)


def test_instants_are_printed_as_the_original_did():
    times = np.random.default_rng(0).integers(0, 1 << 42, 2_000)
    times[:500] = times[:500] // 1_000 * 1_000
    assert orjson.loads(original_api.isoformats(times)) == [original_api.isoformat(at) for at in times.tolist()]


def test_the_store_is_asked_once_and_new_samples_are_there_at_once(service, client, asked):
    post(service, [now_ms() - 5_000])
    settled(service)
    calls = asked(service)
    for n in range(1, 20):
        assert len(client.get("/metrics?host=a").json()["cpu"]) == n
        post(service, [now_ms()])
    assert len(calls) == 1


def test_what_was_scored_but_not_stored_at_the_first_question_is_not_lost(service, client, monkeypatch):
    post(service, [now_ms() - 5_000])
    settled(service)
    let, write = threading.Event(), service.store.write
    monkeypatch.setattr(service.store, "write", lambda *given: let.wait(10) and write(*given))
    post(service, [now_ms() - 4_000])
    client.get("/metrics?host=a")
    post(service, [now_ms() - 3_000])
    let.set()
    settled(service)
    for _ in range(2):
        assert len(client.get("/metrics?host=a").json()["cpu"]) == 3


def test_after_a_restart_the_first_answer_has_what_was_before(start, asked):
    service = start()
    post(service, [now_ms() - 5_000, now_ms() + 4 * MINUTE])
    service = start()
    post(service, [now_ms()])
    settled(service)
    calls, client = asked(service), client_of(service)
    for _ in range(3):
        assert len(client.get("/metrics?host=a").json()["cpu"]) == 2
        assert len(client.get("/metrics?host=a&stop=-0s&start=-1m").json()["cpu"]) == 2
    assert len(calls) == 1
    # the one that lay ahead of the clock is known too
    assert len(service.history.remembered("a", now_ms() - MINUTE, now_ms() + 5 * MINUTE, POINTS)[0]) == 3


def test_older_stretches_and_thinned_ones_are_the_stores(service):
    now = now_ms()
    post(service, [now - i * 3_000 for i in range(600) if not 6 * MINUTE < i * 3_000 < 7.96 * MINUTE])
    settled(service)
    history, store = service.history, service.store
    for begin, end, points in [
        (now - 40 * MINUTE, now, POINTS),
        (now - 10 * MINUTE, now, 50),
        (now - 10 * MINUTE, now, 5),
        (now - MINUTE, now - MINUTE + 10_000, 4),
        (now - 8 * MINUTE, now - 7 * MINUTE, 1),
        (now - MINUTE, now + 20 * 60 * MINUTE, POINTS),
        (now, now - MINUTE, POINTS),
    ]:
        for _ in range(2):
            time, values = history.samples("a", begin, end, points)
            stored = store.series("a", begin, end, points)
            assert time.tolist() == stored.time.tolist()
            assert values.tobytes() == stored.mean.tobytes()


def test_thinned_questions_cost_the_store_one_each(service, asked):
    now = now_ms()
    post(service, [now - i * 3_000 for i in range(200)])
    settled(service)
    service.history.samples("a", now - 10 * MINUTE, now, POINTS)
    calls = asked(service)
    for _ in range(3):
        service.history.samples("a", now - 10 * MINUTE, now, 50)
        service.history.samples("a", now - 10 * MINUTE, now, 5)
    assert len(calls) == 6


def test_what_somebody_else_writes_to_the_database_is_seen_after_a_while(service, client, asked, monkeypatch, caplog):
    post(service, [now_ms() - 5_000])
    settled(service)
    client.get("/metrics?host=a")
    for at in (4_000, 3_000):
        service.store.write(make_frame([now_ms() - at], ["a"], [[70, 1, 1, 1]]), empty_scores(1, 4))
        expire(service, monkeypatch)
        assert 70 in client.get("/metrics?host=a").json()["cpu"]
    calls = asked(service)
    assert client.get("/metrics?host=a").json()["cpu"] == [30.0, 70.0, 70.0]
    assert len(calls) == 1


def test_trust_in_memory_grows_while_it_agrees_with_the_store(service, client, asked, monkeypatch):
    post(service, [now_ms() - 5_000])
    settled(service)
    client.get("/metrics?host=a")
    calls, clock, seconds = asked(service), service.clock.monotonic, [0.0]
    monkeypatch.setattr(service.clock, "monotonic", lambda: clock() + seconds[0])
    for _ in range(600):
        seconds[0] += 5.0
        client.get("/metrics?host=a")
    assert 10 <= len(calls) <= 16


def test_a_forgotten_host_is_forgotten_here_too(service, client):
    post(service, [now_ms() - 5_000])
    settled(service)
    client.get("/metrics?host=a")
    client.post("/api/v1/hosts/a/forget")
    assert client.get("/metrics?host=a").json() == {"message": "No data found"}


def test_after_the_database_refused_a_sample_nothing_is_taken_from_memory(start):
    with InfluxStub() as influx:
        service = start(influxdb_url=influx.url, influxdb_token="t", influxdb_org="o", influxdb_bucket="b")
        learned(service.storing.recent, service.clock, "well", ([now_ms() - 5_000], [30.0]))
        assert service.history.remembered("well", *span(), POINTS) is not None
        post(service, [now_ms() - 4_000], "poison")
        settled(service)
        assert service.history.remembered("well", *span(), POINTS) is None


def test_while_the_database_is_away_the_last_minutes_are_there(start):
    with InfluxStub() as influx:
        service = start(influxdb_url=influx.url, influxdb_token="t", influxdb_org="o", influxdb_bucket="b")
        influx.always = refusal(503, "unavailable")
        client = client_of(service)
        for n in range(1, 4):
            post(service, [now_ms() - 10_000 + n])
            until(lambda: service.storing.away is not None)
            assert len(client.get("/metrics?host=a").json()["cpu"]) == n


def test_a_host_with_very_many_samples_is_left_to_the_store(service, asked):
    times = now_ms() - np.arange(MOST_OF_HOST + 1) * 20
    for part in np.array_split(times, 11):
        post(service, part)
    settled(service)
    calls = asked(service)
    for _ in range(3):
        service.history.samples("a", *span(), POINTS)
    assert len(calls) == 4


# Recent by itself


def learned(recent, clock, host="a", stored=((), ())):
    times, cpu = stored
    followed = recent.follow(host, 0)
    values = np.repeat(np.array(cpu, dtype=np.float64)[:, None], 4, axis=1).reshape(-1, 4)
    start = clock.now_ms() - RECENT_MS
    recent.learn(host, followed, (np.array(times, dtype=np.int64), values), start, clock.now_ms() + AHEAD_MS)


@pytest.mark.parametrize("seed", range(5))
def test_hours_of_samples_in_any_order_leave_the_last_minutes(seed):
    clock, rng, known = FakeClock(), np.random.default_rng(seed), {}
    recent = Recent(clock)
    learned(recent, clock, stored=([clock.now_ms()], [1.0]))
    known[clock.now_ms()] = 1.0
    for position in range(3_000):
        clock.pass_seconds(3)
        now = clock.now_ms()
        late = rng.random() < 0.1
        times = now - rng.integers(0, 600_000 if late else 1, int(rng.integers(1, 4)))
        cpu = rng.uniform(0, 100, len(times))
        recent.take(position, make_frame(times, ["a"] * len(times), np.repeat(cpu[:, None], 4, axis=1)))
        known |= dict(zip(times.tolist(), cpu.tolist(), strict=True))
        if position % 50 == 0:
            if recent.samples("a", now - 10 * MINUTE, now + 1) is None:
                learned(recent, clock)
            time, values = recent.samples("a", now - 10 * MINUTE, now + 1)
            wanted = {at: value for at, value in sorted(known.items()) if now - 10 * MINUTE <= at <= now}
            assert dict(zip(time.tolist(), values[:, 0].tolist(), strict=True)) == wanted
            assert recent.samples("a", now - 60 * MINUTE, now + 1) is None


def test_memory_is_bounded_and_hosts_that_nobody_asks_about_make_room():
    clock = FakeClock()
    recent = Recent(clock, most_samples=1_000)
    names = [f"h{i}" for i in range(50)]
    for name in names:
        if recent.follow(name, 0) is not None:
            learned(recent, clock, name, ([clock.now_ms()], [1.0]))
    followed = [name for name in names if recent.samples(name, clock.now_ms(), clock.now_ms() + 1) is not None]
    assert 5 < len(followed) <= 16
    for position in range(2_000):
        clock.pass_seconds(0.001)
        recent.take(position, make_frame([clock.now_ms()], ["h0"], [[1, 1, 1, 1]]))
    assert recent.samples("h0", clock.now_ms(), clock.now_ms() + 1) is None
    clock.pass_seconds(RECENT_MS / 1000 + 1)
    learned(recent, clock, "new", ([clock.now_ms()], [1.0]))
    assert recent.samples("new", clock.now_ms(), clock.now_ms() + 1) is not None


def test_hosts_that_do_not_exist_cost_nothing(service, client):
    for i in range(100):
        assert client.get(f"/metrics?host=nobody{i}").json() == {"message": "No data found"}
    assert service.storing.recent._followed == {}


def test_two_posts_of_one_instant_show_the_last(service, client):
    at = now_ms() - 5_000
    client.post("/ingest", json={"timestamp": at, **NORMAL})
    settled(service)
    client.get("/metrics")
    client.post("/ingest", json={"timestamp": at, **NORMAL, "cpu": 77.0})
    settled(service)
    assert client.get("/metrics").json()["cpu"] == [77.0]


def test_a_sample_that_came_while_the_store_was_asked_wins():
    clock = FakeClock()
    recent, at = Recent(clock), clock.now_ms()
    recent.follow("a", 0)
    recent.take(1, make_frame([at], ["a"], [[9, 9, 9, 9]]))
    learned(recent, clock, stored=([at - 1, at], [1.0, 1.0]))
    assert recent.samples("a", at - 1, at + 1)[1][:, 0].tolist() == [1.0, 9.0]
