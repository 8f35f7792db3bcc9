"""What is due to be rolled up, when more than one at a time removes from it."""

import numpy as np
import pytest

from monitor_core.scores import empty_scores
from monitor_core.storage.influxdb.connection import Connection
from monitor_core.storage.influxdb.pending import HALF_HOUR_MS, Pending
from monitor_core.storage.influxdb.store import InfluxStore
from tests.builders import T0, one
from tests.storage.influxdb.stub import InfluxStub

OVER = T0 + 2 * HALF_HOUR_MS


@pytest.fixture
def pending(tmp_path):
    opened = Pending(tmp_path / "pending.sqlite")
    yield opened
    opened.close()


def write(pending, **sample):
    none = np.full((1, 4), np.nan)
    pending.add(one(**sample), none, none)


def roll_up_minutes(pending):
    pending.remove(pending.closed(OVER))


def test_two_who_rolled_up_the_same_half_hour_may_both_remove_it(pending):
    write(pending)
    roll_up_minutes(pending)
    first, second = pending.closed_half_hours(OVER), pending.closed_half_hours(OVER)
    pending.remove_half_hours(first)
    pending.remove_half_hours(second)
    assert first == second == {T0: {"web-1"}}
    assert pending.closed_half_hours(OVER) == {}


def test_a_half_hour_that_got_a_late_sample_while_it_was_rolled_up_stays_due(pending):
    write(pending)
    roll_up_minutes(pending)
    done = pending.closed_half_hours(OVER)
    write(pending, at=T0 + 60_000)
    pending.remove_half_hours(done)
    roll_up_minutes(pending)
    assert pending.closed_half_hours(OVER) == {T0: {"web-1"}}


def test_nothing_of_a_forgotten_host_is_due(pending):
    write(pending)
    pending.forget("web-1")
    roll_up_minutes(pending)
    assert pending.closed_half_hours(OVER) == {}


def test_maintenance_goes_on_after_the_only_host_was_forgotten(tmp_path):
    with InfluxStub() as stub:
        store = InfluxStore(Connection(stub.url, "token", "monitor"), "metrics", tmp_path, raw_days=7)
        store.write(one(), empty_scores(1, 4))
        store.forget("web-1")
        store.maintain(OVER)
        store.close()
