import numpy as np
import pytest

from monitor_core.storage.influxdb.line_protocol import MAX_LINES, Encoder, escape_tag, escape_text

NAN = np.nan


def encode(hosts, code, time, table, fields=("cpu", "memory")):
    blobs = Encoder("m", fields).encode(np.array(time), np.array(code, np.int32), hosts, np.array(table, float))
    return b"\n".join(blobs).decode().split("\n") if blobs else []


def test_a_row_is_a_line_and_keeps_every_bit():
    (line,) = encode(("a",), [0], [1_800_000_000_007], [[1 / 3, -0.0]])
    assert line == "m,host=a cpu=0.3333333333333333,memory=-0.0 1800000000007"


def test_rows_with_different_gaps_each_have_their_own_fields():
    lines = encode(("a", "b"), [0, 1, 0], [1, 1, 2], [[1, 2], [3, NAN], [NAN, NAN]])
    assert sorted(lines) == ["m,host=a cpu=1.0,memory=2.0 1", "m,host=b cpu=3.0 1"]


def test_the_same_hosts_again_use_their_template_with_other_numbers():
    encoder = Encoder("m", ("cpu",))
    made = [encoder.encode(np.array([at]), np.zeros(1, np.int32), ("a",), np.array([[float(at)]])) for at in (1, 2)]
    assert made == [[b"m,host=a cpu=1.0 1"], [b"m,host=a cpu=2.0 2"]]


def test_a_large_frame_becomes_several_bodies():
    n = MAX_LINES + 1
    blobs = Encoder("m", ("cpu",)).encode(np.arange(n), np.zeros(n, np.int32), ("a",), np.ones((n, 1)))
    assert [blob.count(b"\n") + 1 for blob in blobs] == [MAX_LINES, 1]


@pytest.mark.parametrize(("name", "written"), [("a b", "a\\ b"), ("a,b=c", "a\\,b\\=c"), ("100%", "100%"), ('"', '"')])
def test_separators_in_a_name_stay_part_of_it(name, written):
    assert encode((name,), [0], [1], [[1, 2]])[0].startswith(f"m,host={written} cpu=")


@pytest.mark.parametrize("name", ["", "a\nb", "a\rm,host=b cpu=1", "a\x00", "a\\"])
def test_a_name_that_could_not_be_kept_is_refused(name):
    with pytest.raises(ValueError, match="host name"):
        escape_tag(name)


def test_text_cannot_end_its_own_quotes():
    assert escape_text('a"b\\c\nd') == '"a\\"b\\\\c d"'
