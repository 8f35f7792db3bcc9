"""Gathering: posts that arrive within the same two milliseconds become one journal entry and share its commit.

A collector per host posts one sample at a time; without this each would pay for a commit and two thread changes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from weakref import WeakKeyDictionary

from monitor_core.frame import Frame, concat

GATHER_SECONDS = 0.002
LARGE_ROWS = 200

Waiting = list[tuple[Frame, "asyncio.Future[None]"]]


class Gathering:
    """`accept` is the pipeline's; what it acknowledges, every post of the group is."""

    def __init__(self, accept: Callable[[Frame], Future[int]]) -> None:
        self._accept = accept
        self._waiting: WeakKeyDictionary[asyncio.AbstractEventLoop, Waiting] = WeakKeyDictionary()

    async def accept(self, frame: Frame) -> None:
        """Returns once the frame is on disk. Raises what the journal raises."""
        if len(frame) >= LARGE_ROWS:
            await asyncio.wrap_future(self._accept(frame))
            return
        loop = asyncio.get_running_loop()
        waiting = self._waiting.setdefault(loop, [])
        done: asyncio.Future[None] = loop.create_future()
        waiting.append((frame, done))
        if len(waiting) == 1:
            loop.call_later(GATHER_SECONDS, self._flush, loop)
        await done

    def _flush(self, loop: asyncio.AbstractEventLoop) -> None:
        group = self._waiting.pop(loop, [])
        committed = self._accept(concat([frame for frame, _ in group]))
        committed.add_done_callback(lambda done: loop.call_soon_threadsafe(_answer, group, done))


def _answer(group: Sequence[tuple[Frame, asyncio.Future[None]]], committed: Future[int]) -> None:
    failure = committed.exception()
    for _, done in group:
        if done.done():  # its client has gone
            continue
        if failure is None:
            done.set_result(None)
        else:
            done.set_exception(failure)
