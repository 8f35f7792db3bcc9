import asyncio
import os
import signal
import socket

import pytest

from monitor_core.scores import empty_scores
from monitor_core.service.live import Latest, quantiles
from monitor_core.service.server import end_streams_when_told_to_stop, set_no_delay
from tests.builders import T0, one, steady


def test_listeners_pass_no_delay_on_to_their_connections():
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        assert set_no_delay() >= 1
        with socket.create_connection(listener.getsockname()):
            connection, _ = listener.accept()
            with connection:
                assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_streams_end_when_the_server_is_told_to_stop_and_it_still_is_told(number):
    told, ended = [], asyncio.Event()

    class Streams:
        def end_streams(self):
            ended.set()

    async def stopped():
        end_streams_when_told_to_stop(Streams(), asyncio.get_running_loop())
        os.kill(os.getpid(), number)
        await asyncio.wait_for(ended.wait(), 2)

    usual = {
        each: signal.signal(each, lambda number, _: told.append(number)) for each in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        asyncio.run(stopped())
    finally:
        for each, handler in usual.items():
            signal.signal(each, handler)
    assert told == [number]


def test_the_latest_sample_is_the_newest_and_not_the_last_to_arrive():
    latest = Latest()
    frame = steady(("a", "b"), n=5)
    assert latest.take(frame, empty_scores(10, 4)).tolist() == [0, 1]
    assert latest.take(one("a", at=T0, cpu=99), empty_scores(1, 4)).tolist() == []
    assert latest.time[0] == T0 + 12_000


def test_quantiles_leave_missing_metrics_out():
    spread = quantiles(one().values)
    assert spread[1, 0] == 30
    assert str(spread[1, 3]) == "nan"
