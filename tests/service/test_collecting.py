"""A past that is brought in: the last hour first, as fine as what follows; the day before it no finer than needed."""

import pytest

from monitor_core.service.clock import SystemClock
from monitor_core.service.collecting import Collector
from tests.conftest import until

HOUR_MS = 3_600_000


class Asked:
    """A source that was asked for its past and had none."""

    name, simulated = "asked", True

    def __init__(self):
        self.spans = []

    def read(self, now_ms):
        return None

    def history(self, start, stop, interval_ms):
        self.spans.append((start, stop, interval_ms))
        return iter(())


@pytest.mark.parametrize(("interval", "apart"), [(1_000, 3_000), (3_000, 3_000), (60_000, 60_000)])
def test_the_last_hour_is_as_fine_as_what_follows_and_the_day_before_it_no_finer_than_3_seconds(interval, apart):
    source = Asked()
    collector = Collector(source, None, SystemClock(), interval)
    collector.begin(first_start=True)
    until(lambda: collector.progress == 1.0, 5)
    assert [span[2] for span in source.spans] == [interval] + [apart] * 23
    starts, stops = zip(*[span[:2] for span in source.spans], strict=True)
    assert [stop - start for start, stop in zip(starts, stops, strict=True)] == [HOUR_MS] * 24
    assert stops[1:] == starts[:-1]
