"""Breath: a background computation lets the threads that collect and score have the interpreter."""

from __future__ import annotations

import time
from collections.abc import Callable

WORK_SECONDS, REST_SECONDS, LONGEST_REST_SECONDS = 0.004, 0.001, 0.1


class Breath:
    """Called between small pieces of work; rests after `WORK_SECONDS` of it.

    While `is_busy` says that samples wait to be scored it rests for longer: threads that compute take turns of 5 ms,
    and a tick would wait for its turn many times over. The rest is bounded, so that work ends under steady load too.
    """

    def __init__(
        self,
        is_busy: Callable[[], bool],
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._is_busy, self._monotonic, self._sleep = is_busy, monotonic, sleep
        self._since = monotonic()

    def __call__(self) -> None:
        if self._monotonic() - self._since < WORK_SECONDS:
            return
        self._sleep(REST_SECONDS)
        until = self._monotonic() + LONGEST_REST_SECONDS
        while self._is_busy() and self._monotonic() < until:
            self._sleep(REST_SECONDS)
        self._since = self._monotonic()
