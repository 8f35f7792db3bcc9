"""A stop of the service while a model is being trained."""

import logging
import threading

import pytest

from tests.conftest import until
from tests.service.test_model_life import train
from tests.service.test_original_api import quiet_past

GIVEN_UP = ("failed", "The service ended before the training did.")


@pytest.mark.parametrize("step", ["features", "fitting", "comparing"])
def test_a_stop_gives_a_training_up_without_an_error(start, step, caplog):
    learning = (service := start()).learning
    quiet_past(service, "web-1", n=3_000)
    if step == "comparing":
        train(service)
    learning.start("by hand")
    until(lambda: learning.job.step == step)
    start()  # the one that runs is stopped before
    assert not learning._thread.is_alive()
    assert (learning.job.state, learning.job.message) == GIVEN_UP
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_a_training_that_ends_after_the_service_does_so_without_an_error(start, monkeypatch, caplog):
    learning = (service := start()).learning
    quiet_past(service, "web-1", n=1_200)
    has_ended = threading.Event()
    monkeypatch.setattr(learning, "_models", lambda _: has_ended.wait(30) and None)  # as a read that takes long
    learning.start("by hand")
    until(lambda: learning.job.progress == 0.5)
    start()
    has_ended.set()
    until(lambda: learning.job.state != "running", 5)
    assert (learning.job.state, learning.job.message) == GIVEN_UP
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
