"""A long stretch of one host must not hold up all others."""

from concurrent.futures import Future

import numpy as np
import pytest

from monitor_core.frame import last_of_each_instant, make_frame
from monitor_core.service import pipeline
from monitor_core.service.pipeline import MAX_TURNS, all_done
from tests.builders import steady
from tests.conftest import client_of, settled
from tests.service.test_original_api import now_ms


def test_it_goes_in_several_entries_and_all_of_it_arrives(start):
    service = start()
    n = 3 * MAX_TURNS + 7
    frame = steady(("web-1",), now_ms() - n * 10, n, step=10)
    service.pipeline.accept(frame).result(20)
    assert service.journal.last() == 4
    settled(service, 60)
    series = service.store.series("web-1", 0, now_ms() + 1, 10**6)
    assert service.judge.scorer.state.samples[0] == n
    assert int(np.nansum(series.count[:, 0])) == n


def test_the_same_instant_many_times_is_one_sample_and_the_last_one(start):
    service = start()
    at, n = now_ms(), 50_000
    values = np.tile([[1.0, 2, 3, 4]], (n, 1))
    values[-1] = [9, 9, 9, 9]
    service.pipeline.accept(make_frame([at] * n, ["web-1"] * n, values)).result(20)
    settled(service)
    assert service.judge.scorer.state.samples[0] == 1
    assert service.store.series("web-1", at, at + 1, 10).mean[0].tolist() == [9, 9, 9, 9]


def test_a_part_that_fails_is_nobodys_success():
    futures = [Future(), Future()]
    together = all_done(futures)
    futures[1].set_result(2)
    assert not together.done()
    futures[0].set_exception(OSError("full"))
    with pytest.raises(OSError, match="full"):
        together.result(1)


def test_who_sends_faster_than_can_be_scored_is_told_to_wait_and_nothing_is_lost(start, monkeypatch):
    service = start()
    client = client_of(service)
    monkeypatch.setattr(pipeline, "MOST_UNSCORED", 10)
    with service.pipeline.lock:
        answers = [client.post("/ingest", json=[{"host": f"h{k}", "cpu": i} for k in range(5)]) for i in range(6)]
    taken = [answer.status_code for answer in answers].count(200)
    assert 2 <= taken < 6
    assert {answer.status_code for answer in answers} == {200, 429}
    assert answers[-1].headers["retry-after"] == "1"
    settled(service)
    assert client.post("/ingest", json={"cpu": 1}).status_code == 200


def test_of_samples_of_one_instant_the_last_one_stands():
    frame = make_frame([5, 7, 5, 5, 7], ["a", "a", "b", "a", "b"], np.zeros((5, 4)))
    assert last_of_each_instant(frame).tolist() == [1, 2, 3, 4]
    assert last_of_each_instant(frame.take(np.zeros(0, dtype=np.int64))).tolist() == []
