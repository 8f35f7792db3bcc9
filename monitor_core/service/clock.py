"""Clock: the one place where the process asks for the time; tests hand in their own."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """`now_ms`: wall time, ms UTC. `monotonic`: seconds that never jump."""

    def now_ms(self) -> int: ...

    def monotonic(self) -> float: ...


class SystemClock:
    """The machine's clocks."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic()
