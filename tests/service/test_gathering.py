import asyncio
from concurrent.futures import Future

import pytest

from monitor_core.service.gathering import LARGE_ROWS, Gathering
from monitor_core.storage.writer import StateUnavailable
from tests.builders import one, steady


class Journal:
    """Remembers the frames; every commit ends as it is told to."""

    def __init__(self, failure=None):
        self.frames, self.failure = [], failure

    def accept(self, frame):
        self.frames.append(frame)
        done = Future()
        done.set_exception(self.failure) if self.failure else done.set_result(1)
        return done


def post_together(journal, frames):
    gathering = Gathering(journal.accept)

    async def post():
        return await asyncio.gather(*(gathering.accept(frame) for frame in frames), return_exceptions=True)

    return asyncio.run(post())


def test_posts_of_the_same_moment_share_one_commit_and_keep_their_order():
    journal = Journal()
    assert post_together(journal, [one(f"h{i}") for i in range(10)]) == [None] * 10
    (frame,) = journal.frames
    assert frame.host_names() == [f"h{i}" for i in range(10)]


def test_a_failed_commit_is_nobodys_success():
    answers = post_together(Journal(StateUnavailable("full")), [one(), one()])
    assert [type(answer) for answer in answers] == [StateUnavailable] * 2


@pytest.mark.parametrize(("rows", "commits"), [(LARGE_ROWS, 2), (LARGE_ROWS - 1, 1)])
def test_a_large_body_goes_by_itself(rows, commits):
    journal = Journal()
    post_together(journal, [steady(n=rows), one("b")])
    assert len(journal.frames) == commits
