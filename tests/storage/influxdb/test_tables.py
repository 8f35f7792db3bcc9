import numpy as np
import pytest

from monitor_core.storage.influxdb.tables import ONLY, blocks, wide
from monitor_core.storage.timeseries import StoreUnavailable

HEAD = b",result,table,_time,_value,_field,host\r\n"
COLUMNS = [(ONLY, "cpu"), (ONLY, "memory")]


def test_rows_become_one_line_a_host_and_instant():
    answer = HEAD + b"".join(
        b",_result,0,2027-01-15T08:00:0%d.%03dZ,%d,%s,web-1\r\n" % (second, ms, value, field)
        for field, second, ms, value in [(b"cpu", 0, 5, 1), (b"cpu", 3, 0, 2), (b"memory", 0, 5, 3)]
    )
    found = wide(blocks(answer), COLUMNS)
    assert found.hosts == ("web-1",)
    assert found.time.tolist() == [1_800_000_000_005, 1_800_000_003_000]
    assert np.array_equal(found.values, [[1, 3], [2, np.nan]], equal_nan=True)


def test_a_table_without_a_host_belongs_to_default_and_headers_repeat():
    answer = (
        HEAD + b",_result,0,2027-01-15T08:00:00Z,1,cpu,web-1\r\n\r\n"
        b",result,table,_time,_value,_field\r\n,_result,1,2027-01-15T08:00:00Z,7,cpu\r\n\r\n"
    )
    found = wide(blocks(answer), COLUMNS)
    assert found.of("default").values[0, 0] == 7
    assert found.of("web-1").values[0, 0] == 1


def test_fields_nobody_asked_for_are_left_out():
    answer = HEAD + b",_result,0,2027-01-15T08:00:00Z,1,temperature,web-1\r\n"
    assert len(wide(blocks(answer), COLUMNS).time) == 0


@pytest.mark.parametrize("answer", [b"", b"\r\n", b"\r\n\r\n", HEAD, HEAD + b"\r\n"])
def test_nothing_is_nothing(answer):
    assert len(wide(blocks(answer), COLUMNS).time) == 0


def test_a_fault_inside_a_good_answer_is_a_fault():
    answer = HEAD + b",_result,0,2027-01-15T08:00:00Z,1,cpu,web-1\r\n\r\nerror,reference\r\nengine stopped,897\r\n"
    with pytest.raises(StoreUnavailable, match="InfluxDB answers: engine stopped,897"):
        blocks(answer)
