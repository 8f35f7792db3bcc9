import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor_core.frame import invalid_cells
from monitor_core.sources.payload import BadBody, parse_body, parse_sample
from tests.builders import T0
from tests.sources.bad_bodies import BAD, REFUSED

ORIGINAL = b'{"timestamp": "2026-11-24T16:42:00.123456", "cpu": 12.5, "memory": 40, "disk": 60.25}'


def test_the_originals_body_is_one_sample_of_the_default_host():
    parsed = parse_body(ORIGINAL, 2_000_000_000_000)
    assert parsed.frame.host_names() == ["default"]
    assert parsed.frame.time.tolist() == [1_795_538_520_123]
    assert parsed.frame.values[0, :3].tolist() == [12.5, 40, 60.25]
    assert np.isnan(parsed.frame.values[0, 3])


@pytest.mark.parametrize(("name", "body"), BAD, ids=[name for name, _ in BAD])
def test_a_bad_body_is_refused_without_being_repeated(name, body):
    with pytest.raises(BadBody) as refused:
        parse_body(body, T0)
    assert refused.value.status in (400, 422)


@pytest.mark.parametrize(("name", "body", "field", "reason"), REFUSED, ids=[row[0] for row in REFUSED])
def test_a_bad_sample_is_refused_with_field_and_reason(name, body, field, reason):
    parsed = parse_body(body, T0)
    assert len(parsed.frame) == 0
    assert parsed.rejected[0].field == field
    assert reason in parsed.rejected[0].reason


def test_good_samples_beside_a_bad_one_are_kept():
    body = json.dumps([{"cpu": 1}, {"cpu": 140}, {"cpu": 3, "host": "b"}]).encode()
    parsed = parse_body(body, T0)
    assert parsed.frame.values[:, 0].tolist() == [1, 3]
    assert [(r.index, r.field, r.reason) for r in parsed.rejected] == [(1, "cpu", "cpu is 140, allowed 0..100")]


def test_columns_are_taken_with_null_as_missing():
    body = json.dumps({"timestamp": [T0, T0], "host": ["a", "b"], "cpu": [1, None], "disk": [None, 2]}).encode()
    frame = parse_body(body, T0).frame
    assert frame.host_names() == ["a", "b"]
    assert np.isnan(frame.values[0, 2])
    assert frame.values[1, 2] == 2


def test_columns_of_different_lengths_are_refused():
    with pytest.raises(BadBody, match="different lengths"):
        parse_body(b'{"cpu":[1,2],"memory":[1]}', T0)


def test_the_fast_and_the_slow_way_agree():
    samples = [{"timestamp": T0 + i, "host": f"h{i}", "cpu": i / 7, "simulated": i % 2 == 0} for i in range(50)]
    fast = parse_body(json.dumps(samples).encode(), T0).frame
    slow = parse_body(json.dumps([*samples, {"cpu": 101}]).encode(), T0).frame
    assert fast.to_bytes() == slow.to_bytes()


def test_unknown_fields_are_ignored_and_counted():
    parsed = parse_body(b'{"cpu":1,"gpu":2,"fan":3}', T0)
    assert (len(parsed.frame), parsed.ignored_fields) == (1, 2)


def test_predict_takes_exactly_one_sample_and_knows_whether_it_has_a_time():
    assert not parse_sample(b'{"cpu":1}', T0).timestamp_given
    assert parse_sample(b'{"cpu":1,"timestamp":1800000000}', T0).timestamp_given
    with pytest.raises(BadBody):
        parse_sample(b'[{"cpu":1},{"cpu":2}]', T0)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
def test_arbitrary_bytes_never_raise_anything_else(body):
    _check(body)


@settings(max_examples=400, deadline=None)
@given(st.integers(0, len(ORIGINAL) - 1), st.binary(max_size=4), st.integers(0, 6))
def test_a_damaged_body_never_gives_an_invalid_row(at, inserted, dropped):
    _check(ORIGINAL[:at] + inserted + ORIGINAL[at + dropped :])


def _check(body):
    try:
        frame = parse_body(body, T0).frame
    except BadBody:
        return
    assert not invalid_cells(frame.values).any()
    assert not np.isinf(frame.values).any()
