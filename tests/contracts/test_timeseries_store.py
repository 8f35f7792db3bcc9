from dataclasses import replace

import numpy as np
import pytest

from monitor_core.frame import concat, make_frame
from monitor_core.scores import empty_scores
from monitor_core.storage.timeseries import Anomaly, Tier
from tests.builders import T0, steady

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
LONG_AFTER = T0 + 2 * DAY


def scores(n, **columns):
    made = empty_scores(n, 4)
    for name, column in columns.items():
        getattr(made, name)[:] = column
    return made


def write(store, frame, **columns):
    store.write(frame, scores(len(frame), **columns))


def naive_rollup(rows, width):
    """{bucket: (min, mean, max, count) of cpu} of {time: cpu}, computed the slow and obvious way."""
    buckets = {}
    for at, value in sorted(rows.items()):
        buckets.setdefault(at // width * width, []).append(value)
    return {start: (min(v), sum(v) / len(v), max(v), len(v)) for start, v in buckets.items()}


def rollup_of(store, host, start, stop, tier):
    width = {Tier.MINUTE: MINUTE, Tier.HALF_HOUR: 30 * MINUTE}[tier]
    series = store.series(host, start, stop, (stop - start) // width)
    assert series.tier is tier
    columns = (series.minimum[:, 0], series.mean[:, 0], series.maximum[:, 0], series.count[:, 0])
    return dict(zip(series.time.tolist(), zip(*columns, strict=True), strict=True))


def test_it_gives_back_what_was_written_value_by_value(store):
    values = [[1 / 3, np.nan, 99.9, -0.0], [2.5, 1e-9, np.nan, 100.0]]
    write(store, make_frame([T0 + 1, T0 + 7], ["a", "a"], values), score=[0.1, 0.2])
    for _ in range(2):
        series = store.series("a", T0, T0 + HOUR, 1000)
        assert series.mean.tobytes() == np.array(values).tobytes()
        assert series.time.tolist() == [T0 + 1, T0 + 7]
        assert series.score.tolist() == [0.1, 0.2]
        store.maintain(LONG_AFTER)


def test_an_unknown_host_is_empty(store):
    assert len(store.series("nobody", T0, T0 + HOUR, 100).time) == 0


def test_ranges_are_half_open(store):
    write(store, steady(n=3))
    assert store.series("web-1", T0, T0 + 6_000, 100).time.tolist() == [T0, T0 + 3_000]


@pytest.mark.parametrize("compact_between", [False, True])
def test_the_same_instant_again_overwrites(store, compact_between):
    write(store, make_frame([T0], ["a"], [[1, 1, 1, 1]]))
    if compact_between:
        store.maintain(LONG_AFTER)
    write(store, make_frame([T0], ["a"], [[9, np.nan, 9, 9]]))
    series = store.series("a", T0, T0 + HOUR, 100)
    assert series.mean[0, 0] == 9
    assert np.isnan(series.mean[0, 1])


def test_the_same_instant_twice_in_one_write_is_the_last(store):
    values = [[1, 1, 1, 1], [2, 2, np.nan, np.nan], [3, 3, 3, 3], [4, 4, 4, 4], [5, 5, 5, 5]]
    write(store, make_frame([T0, T0, T0 + 1, T0 + 1, T0 + 2], ["a"] * 5, values), anomaly=[0, 0, 1, 0, 0])
    series = store.series("a", T0, T0 + HOUR, 100)
    assert series.mean[:, 0].tolist() == [2, 4, 5]
    assert np.isnan(series.mean[:, 2]).tolist() == [True, False, False]
    assert series.anomalies[:, 0].tolist() == [0, 0, 0]


def test_samples_out_of_order_come_back_in_order(store):
    write(store, make_frame([T0 + 9, T0 + 3, T0 + 6], ["a"] * 3, np.ones((3, 4))))
    assert store.series("a", T0, T0 + HOUR, 100).time.tolist() == [T0 + 3, T0 + 6, T0 + 9]


def test_hosts_with_odd_names_are_kept_apart(store):
    names = ["a'; DROP TABLE head; --", 'b"c', "x" * 253, "a,b=c"]
    write(store, make_frame([T0] * 4, names, np.arange(16).reshape(4, 4)))
    store.maintain(LONG_AFTER)
    assert [store.series(name, T0, T0 + 1, 10).mean[0, 0] for name in names] == [0, 4, 8, 12]


def test_the_tier_fits_the_range_and_is_named(store):
    write(store, steady(n=1200))
    store.maintain(LONG_AFTER)
    assert store.series("web-1", T0, T0 + HOUR, 2000).tier is Tier.RAW
    assert store.series("web-1", T0, T0 + DAY, 1000).tier is Tier.MINUTE
    month = store.series("web-1", T0 - 29 * DAY, T0 + DAY, 1000)
    assert (month.tier, month.bucket_ms % (30 * MINUTE)) == (Tier.HALF_HOUR, 0)


@pytest.mark.parametrize("span", [MINUTE, HOUR, 7 * HOUR, DAY, 30 * DAY])
@pytest.mark.parametrize("points", [1, 10, 500])
def test_there_are_never_more_points_than_asked_for(store, span, points):
    write(store, steady(n=1200))
    assert len(store.series("web-1", T0 + HOUR - span, T0 + HOUR, points).time) <= points + 1


def test_a_spike_survives_every_tier(store):
    frame = steady(n=1200)
    frame.values[700, 0] = 98.0
    write(store, frame)
    store.maintain(LONG_AFTER)
    for stop, points in [(T0 + HOUR, 100), (T0 + DAY, 1000), (T0 + 30 * DAY, 500)]:
        assert np.nanmax(store.series("web-1", T0, stop, points).maximum[:, 0]) == 98.0


def test_anomalies_are_counted_per_metric(store):
    write(store, steady(n=20), anomaly=[0b0011] * 5 + [0] * 15)
    store.maintain(LONG_AFTER)
    assert store.series("web-1", T0, T0 + DAY, 1000).anomalies[0].tolist() == [5, 5, 0, 0]


def test_the_expected_range_is_there_raw_and_in_rollups(store):
    write(store, steady(n=400), expected_low=20.0, expected_high=40.0)
    for _ in range(2):
        raw = store.series("web-1", T0, T0 + HOUR, 2000)
        day = store.series("web-1", T0, T0 + DAY, 1000)
        assert set(raw.expected_low[:, 0]) == {20.0}
        assert set(day.expected_high[:, 0]) == {40.0}
        store.maintain(LONG_AFTER)


@pytest.mark.parametrize("seed", range(6))
def test_rollups_equal_those_recomputed_from_raw(open_store, seed):
    """Late, overwritten and repeated samples, compaction and restarts at any moment."""
    rng = np.random.default_rng(seed)
    store, known = open_store(), {}
    for _ in range(25):
        times = T0 + rng.integers(0, 3 * HOUR, 60) // 1000 * 1000
        times = np.unique(times)
        values = np.round(rng.uniform(0, 100, (len(times), 4)), 1)
        write(store, make_frame(times, ["a"] * len(times), values))
        known |= dict(zip(times.tolist(), values[:, 0].tolist(), strict=True))
        step = rng.integers(0, 4)
        if step == 0:
            store.maintain(LONG_AFTER)
        elif step == 1:
            store = open_store()
    for tier, width in ((Tier.MINUTE, MINUTE), (Tier.HALF_HOUR, 30 * MINUTE)):
        stop = T0 + 3 * HOUR if tier is Tier.MINUTE else T0 + 6 * HOUR
        found, wanted = rollup_of(store, "a", T0, stop, tier), naive_rollup(known, width)
        assert found.keys() == wanted.keys()
        for start, row in wanted.items():
            assert found[start] == pytest.approx(row, rel=1e-5)


def test_everything_is_there_after_opening_again_without_closing(open_store, tmp_path):
    store = open_store()
    write(store, steady(n=50))
    again = open_store()
    assert len(again.series("web-1", T0, T0 + HOUR, 100).time) == 50
    assert len(again.latest(T0)) == 1


def test_latest_is_the_newest_sample_of_each_host(open_store):
    store = open_store()
    write(store, steady(("a", "b"), n=10))
    write(store, make_frame([T0], ["a"], [[77, 1, 1, 1]]))
    for reopened in (store, open_store()):
        latest = reopened.latest(T0)
        assert sorted(latest.host_names()) == ["a", "b"]
        assert set(latest.time.tolist()) == {T0 + 27_000}


def test_scan_gives_every_sample_once_in_order(store):
    frame = steady(("a", "b", "c"), n=1500)
    write(store, frame.take(np.arange(0, 3000)))
    store.maintain(LONG_AFTER)
    write(store, frame.take(np.arange(3000, 4500)))
    whole = concat([part for part, _ in store.scan(T0, T0 + DAY)])
    assert len(whole) == 4500
    for host in "abc":
        own = whole.time[np.array(whole.host_names()) == host]
        assert (np.diff(own) > 0).all()


def test_scan_takes_only_the_hosts_asked_for(store):
    write(store, steady(("a", "b"), n=10))
    assert {name for part, _ in store.scan(T0, T0 + DAY, ["b"]) for name in part.host_names()} == {"b"}


def test_the_fleet_is_its_middle_and_its_edges(store):
    values = np.repeat(np.arange(21.0)[:, None], 4, axis=1)
    write(store, make_frame([T0] * 21, [f"h{i:02}" for i in range(21)], values))
    time, spread = store.fleet(T0, T0 + HOUR, 60)
    assert time.tolist() == [T0]
    assert spread[0, 0].tolist() == [1, 10, 19]


def test_it_names_every_host_it_keeps_anything_of(store):
    write(store, steady(("b", "a"), n=5))
    store.maintain(LONG_AFTER)
    assert sorted(store.hosts()) == ["a", "b"]


@pytest.mark.parametrize("tier", [Tier.MINUTE, Tier.HALF_HOUR])
def test_a_rollup_is_kept_as_it_was_given(store, tier):
    write(store, steady(n=1200), expected_low=20.0, anomaly=[1] * 10 + [0] * 1190)
    store.maintain(LONG_AFTER)
    width = {Tier.MINUTE: MINUTE, Tier.HALF_HOUR: 30 * MINUTE}[tier]
    stop = T0 + (HOUR if tier is Tier.MINUTE else DAY)
    given = replace(store.series("web-1", T0, stop, (stop - T0) // width), host="web-2")
    store.put_rollup(given)
    found = store.series("web-2", T0, stop, (stop - T0) // width)
    for name in ("time", "minimum", "mean", "maximum", "count", "anomalies", "expected_low", "score"):
        assert np.allclose(getattr(found, name), getattr(given, name), rtol=1e-6, equal_nan=True), name


def test_anomalies_come_newest_first_and_once_each(store):
    rows = [Anomaly(f"h{i % 2}", T0 + i, (1.0, None, 2.0, None), 0.9, "ML model", i) for i in range(5)]
    store.write_anomalies(rows)
    store.write_anomalies(rows)
    assert [a.time - T0 for a in store.anomalies(T0, T0 + DAY)] == [4, 3, 2, 1, 0]
    assert [a.incident_id for a in store.anomalies(T0, T0 + DAY, host="h1")] == [3, 1]
    assert len(store.anomalies(T0, T0 + DAY, limit=2)) == 2


def test_a_forgotten_host_leaves_nothing_behind(store):
    write(store, steady(("a", "b"), n=30))
    store.write_anomalies([Anomaly("a", T0, (1.0,), 0.9, "ML model", 1)])
    store.forget("a")
    assert len(store.series("a", T0, T0 + DAY, 1000).time) == 0
    assert store.anomalies(T0, T0 + DAY) == []
    assert len(store.series("b", T0, T0 + HOUR, 1000).time) == 30


def test_each_tier_expires_at_its_own_time(store):
    write(store, steady(n=1200))
    store.maintain(LONG_AFTER)
    store.maintain(T0 + 20 * DAY)
    assert list(store.scan(T0, T0 + HOUR)) == []
    hour = store.series("web-1", T0, T0 + HOUR, 2000)
    assert (len(hour.time), hour.tier) == (60, Tier.MINUTE)


def test_it_says_what_it_keeps(store):
    write(store, steady(n=10))
    store.maintain(LONG_AFTER)
    health = store.health()
    assert health.reachable
    assert {kept.name: kept.rows for kept in health.kept}["every sample"] == 10
