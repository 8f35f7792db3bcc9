import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from monitor_core.storage.codec import RAW, pack_floats, pack_integers, unpack_floats, unpack_integers

COLUMNS = arrays(np.float64, st.integers(0, 50), elements=st.floats(allow_infinity=True, allow_nan=False))


@given(COLUMNS)
def test_any_float_comes_back_bit_for_bit(column):
    assert unpack_floats(pack_floats(column), len(column)).tobytes() == column.tobytes()


@given(st.lists(st.integers(0, 1000), max_size=50), st.integers(0, 3))
def test_decimals_come_back_bit_for_bit_and_small(whole, decimals):
    column = np.array(whole, dtype=np.float64) / 10.0**decimals
    packed = pack_floats(column)
    assert packed[0] <= decimals
    assert unpack_floats(packed, len(column)).tobytes() == column.tobytes()


def test_missing_values_stay_missing():
    column = np.array([1.0, np.nan, 2.5, np.nan])
    assert np.array_equal(unpack_floats(pack_floats(column), 4), column, equal_nan=True)


def test_a_negative_zero_is_not_mistaken_for_zero():
    assert pack_floats(np.array([-0.0]))[0] == RAW


@pytest.mark.parametrize("column", [[], [5], [1_800_000_000_000, 1_800_000_003_001], [0, -(2**40), 2**40]])
def test_integers_come_back(column):
    assert unpack_integers(pack_integers(np.array(column, dtype=np.int64))).tolist() == column
