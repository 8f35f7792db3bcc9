import pytest

from monitor_core.sources.timestamps import BadTime, from_number, from_text, parse_time

AT = 1_782_319_320_500


@pytest.mark.parametrize("number", [AT / 1000, AT, AT * 1000, AT * 1_000_000])
def test_the_unit_of_an_epoch_is_told_by_its_magnitude(number):
    assert from_number(number) == AT


@pytest.mark.parametrize(
    "text",
    [
        "2026-06-24T16:42:00.5Z",
        "2026-06-24 16:42:00.500",
        "2026-06-24T16:42:00.500000+00:00",
        "2026-06-24t18:42:00.5+02:00",
        "2026-06-24 16:42:00.500+00:00",
    ],
)
def test_rfc_3339_and_its_relatives_are_read(text):
    assert from_text(text) == AT


@pytest.mark.parametrize("text", ["", "20260624", "2026-W01-1", "2026-06-24", "16:42", "2026-13-01T00:00:00"])
def test_other_texts_are_no_times(text):
    with pytest.raises(BadTime):
        from_text(text)


def test_a_query_may_be_relative():
    assert parse_time("-15m", AT) == AT - 900_000


@pytest.mark.parametrize("text", ["nan", "inf", "-1y", "x"])
def test_a_bad_query_is_a_value_error(text):
    with pytest.raises(ValueError, match="timestamp"):
        parse_time(text, AT)
