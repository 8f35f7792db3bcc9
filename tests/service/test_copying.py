import time

import numpy as np
import pytest

from monitor_core.__main__ import main
from monitor_core.frame import make_frame
from monitor_core.scores import empty_scores
from monitor_core.service import copying
from monitor_core.service.copying import Checksum, CopyFailed, Progress, copy
from monitor_core.storage.sqlite import SqliteStore
from monitor_core.storage.timeseries import Anomaly, Tier
from tests.builders import T0, steady

HOUR, DAY = 3_600_000, 86_400_000
STOP = T0 + 2 * DAY


@pytest.fixture
def stores(tmp_path):
    opened = [SqliteStore(tmp_path / f"{name}.sqlite") for name in ("source", "target")]
    yield opened
    for store in opened:
        store.close()


def fill(store, hosts=("a", "b"), start=T0, n=8_000):
    """Some hours of odd numbers, gaps and anomalies."""
    frame = steady(hosts, start, n)
    frame.values[::7, 3] = np.nan
    frame.values[0, 0] = 1 / 3
    scores = empty_scores(len(frame), 4)
    scores.score[:] = np.round(np.linspace(0, 1, len(frame)), 3)
    scores.anomaly[5:9] = 3
    store.write(frame, scores)
    store.write_anomalies([Anomaly("a", start + 5, (1.0, None, 2.0, 3.0), 0.9, "ML model", 4)])
    store.maintain(STOP)
    return len(frame)


def whole(store):
    total = Checksum()
    for frame, scores in store.scan(T0 - 30 * DAY, STOP):
        total.add(frame, scores)
    return total.samples, total.value


def test_everything_arrives_to_the_bit(stores):
    source, target = stores
    n = fill(source)
    done = copy(source, target, Progress(T0, STOP, T0), lambda _: None)
    assert (done.samples, done.anomalies) == (n, 1)
    assert whole(target) == whole(source)
    assert target.anomalies(T0, STOP) == source.anomalies(T0, STOP)


def test_rollups_arrive_where_there_are_no_raw_samples_any_more(stores):
    source, target = stores
    fill(source)
    source.maintain(T0 + 20 * DAY)
    copy(source, target, Progress(T0, STOP, T0), lambda _: None)
    minutes = target.series("a", T0, T0 + 6 * HOUR, 360)
    assert minutes.tier is Tier.MINUTE
    assert np.array_equal(minutes.mean, source.series("a", T0, T0 + 6 * HOUR, 360).mean, equal_nan=True)


def test_a_copy_that_was_stopped_goes_on_where_it_was(stores, tmp_path):
    source, target = stores
    fill(source)
    path, seen = tmp_path / "copy.json", []

    def stop_early(progress):
        copying.save(path, progress)
        seen.append(progress.done_until)
        if len(seen) == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy(source, target, copying.load(path, T0, STOP), stop_early)
    copy(source, target, copying.load(path, T0, STOP), stop_early)
    assert seen == sorted(set(seen))
    assert whole(target) == whole(source)


def test_what_arrives_otherwise_is_noticed(stores):
    source, target = stores
    fill(source)
    target.write(make_frame([T0 + 1], ["a"], [[1, 1, 1, 1]]), empty_scores(1, 4))
    with pytest.raises(CopyFailed, match="checksums"):
        copy(source, target, Progress(T0, STOP, T0), lambda _: None)


@pytest.mark.parametrize("change", ["host", "time", "value", "missing", "score", "swap"])
def test_the_checksum_sees_every_kind_of_difference(change):
    def checksum(hosts, times, values, score):
        total, scores = Checksum(), empty_scores(2, 4)
        scores.score[:] = score
        total.add(make_frame(times, hosts, values), scores)
        return total.value

    values = [[1.0, 2, 3, 4], [5, 6, 7, 8]]
    base = (["a", "b"], [T0, T0 + 1], values, [0.1, 0.2])
    others = {
        "host": (["a", "c"], *base[1:]),
        "time": (base[0], [T0, T0 + 2], *base[2:]),
        "value": (*base[:2], [[1.0000000000000002, 2, 3, 4], values[1]], base[3]),
        "missing": (*base[:2], [[np.nan, 2, 3, 4], values[1]], base[3]),
        "score": (*base[:3], [0.1, 0.3]),
        "swap": (*base[:2], [[2, 1, 3, 4], values[1]], base[3]),
    }
    assert checksum(*base) != checksum(*others[change])


def test_the_checksum_does_not_mind_the_order():
    frame = steady(("a", "b"), n=10)
    forward, backward = Checksum(), Checksum()
    forward.add(frame, empty_scores(20, 4))
    backward.add(frame.take(np.arange(20)[::-1]), empty_scores(20, 4))
    assert forward.value == backward.value


def test_the_command_says_what_is_missing(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    monkeypatch.delenv("INFLUXDB_URL", raising=False)
    assert main(["copy", "--from", "sqlite", "--to", "influxdb"]) == 2
    assert "INFLUXDB_URL is not set" in capsys.readouterr().err


@pytest.mark.external_service
def test_there_and_back_through_a_real_influxdb_is_the_same(tmp_path, request):
    from tests.contracts.conftest import InfluxPlace

    place = InfluxPlace(tmp_path / "influx", request.node.name)
    source, back, influx = SqliteStore(tmp_path / "a.sqlite"), SqliteStore(tmp_path / "b.sqlite"), place.open()
    start = time.time_ns() // 1_000_000 // HOUR * HOUR - DAY
    fill(source, start=start)
    for one, other in ((source, influx), (influx, back)):
        copy(one, other, Progress(start, start + DAY, start), lambda _: None)
    sums = [Checksum(), Checksum()]
    for store, total in zip((source, back), sums, strict=True):
        for frame, scores in store.scan(start, start + DAY):
            total.add(frame, scores)
    assert (sums[0].samples, sums[0].value) == (sums[1].samples, sums[1].value)
    for store in (source, back, influx):
        store.close()
    place.clear()
