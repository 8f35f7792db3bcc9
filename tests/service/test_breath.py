from monitor_core.service.breath import LONGEST_REST_SECONDS, WORK_SECONDS, Breath
from tests.builders import FakeClock


def breath_of(busy):
    clock, slept = FakeClock(), []

    def sleep(seconds):
        slept.append(seconds)
        clock.pass_seconds(seconds)

    return Breath(lambda: busy(clock), clock.monotonic, sleep), clock, slept


def test_little_work_needs_no_rest():
    breath, clock, slept = breath_of(lambda _: True)
    clock.pass_seconds(WORK_SECONDS / 2)
    breath()
    assert slept == []


def test_after_some_work_it_rests_a_moment_and_works_on():
    breath, clock, slept = breath_of(lambda _: False)
    clock.pass_seconds(WORK_SECONDS)
    breath()
    breath()
    assert len(slept) == 1


def test_it_rests_as_long_as_samples_wait_but_not_for_ever():
    breath, clock, slept = breath_of(lambda now: now.monotonic() < 1_000 + WORK_SECONDS + 0.03)
    clock.pass_seconds(WORK_SECONDS)
    breath()
    assert 0.028 < sum(slept) < 0.032
    breath, clock, slept = breath_of(lambda _: True)
    clock.pass_seconds(WORK_SECONDS)
    breath()
    assert LONGEST_REST_SECONDS <= sum(slept) < 1.1 * LONGEST_REST_SECONDS
