from dataclasses import replace

import pytest

from monitor_core.alerting.channels.base import SendFailed
from monitor_core.alerting.delivery import GIVE_UP_AFTER, LONGEST_DELAY_SECONDS, Delivery
from monitor_core.backoff import next_delay_seconds
from monitor_core.notifications import DeliveryState
from tests.builders import FakeClock, notification


class RememberingOutbox:
    """An outbox that is a list."""

    def __init__(self, n):
        self.rows = {i: notification(i) for i in range(n)}

    def claim(self, channel, now, limit):
        due = [r for r in self.rows.values() if r.state is DeliveryState.PENDING and r.due_at <= now][:limit]
        for row in due:
            self.rows[row.id] = replace(row, state=DeliveryState.SENDING, attempts=row.attempts + 1)
        return [self.rows[row.id] for row in due]

    def mark_sent(self, ids, at):
        self._mark(ids, state=DeliveryState.SENT, sent_at=at)

    def mark_retry(self, ids, due_at, error):
        self._mark(ids, state=DeliveryState.PENDING, due_at=due_at, last_error=error)

    def mark_dead(self, ids, error):
        self._mark(ids, state=DeliveryState.DEAD, last_error=error)

    def _mark(self, ids, **changes):
        for number in ids:
            self.rows[number] = replace(self.rows[number], **changes)


class ScriptedChannel:
    name, min_gap_seconds = "slack", 1.0

    def __init__(self, *failures):
        self.failures, self.sent = list(failures), []

    def send(self, notifications, now_ms):
        if self.failures and (failure := self.failures.pop(0)) is not None:
            raise failure
        self.sent.append([item.id for item in notifications])


def delivery(n, *failures):
    clock, outbox, channel = FakeClock(), RememberingOutbox(n), ScriptedChannel(*failures)
    return clock, outbox, channel, Delivery(outbox, channel, clock.now_ms, clock.monotonic, jitter=lambda: 0.5)


def states(outbox):
    return {row.state for row in outbox.rows.values()}


def test_what_waits_goes_out_as_one_message():
    _, outbox, channel, sending = delivery(15)
    sending.step()
    assert [len(ids) for ids in channel.sent] == [15]
    assert states(outbox) == {DeliveryState.SENT}


def test_two_messages_are_a_second_apart():
    clock, outbox, channel, sending = delivery(1)
    sending.step()
    outbox.rows[9] = notification(9)
    clock.pass_seconds(0.4)
    assert sending.step() == pytest.approx(0.6)
    assert channel.sent == [[0]]
    clock.pass_seconds(0.6)
    sending.step()
    assert channel.sent == [[0], [9]]


def test_a_temporary_failure_is_tried_again_later():
    clock, outbox, channel, sending = delivery(1, SendFailed("busy", permanent=False))
    sending.step()
    assert states(outbox) == {DeliveryState.PENDING}
    clock.pass_seconds(1.1)
    sending.step()
    assert channel.sent == [[0]]


def test_retry_after_is_kept_but_never_longer_than_a_minute():
    clock, outbox, _, sending = delivery(1, SendFailed("wait", permanent=False, retry_after_seconds=86_400))
    sending.step()
    assert outbox.rows[0].due_at == clock.now_ms() + 60_000


def test_a_permanent_refusal_ends_in_the_dead_letters_at_once():
    _, outbox, _, sending = delivery(1, SendFailed("gone", permanent=True))
    sending.step()
    assert states(outbox) == {DeliveryState.DEAD}
    assert sending.health().last_error == "gone"


def test_it_gives_up_visibly_after_the_last_try():
    clock, outbox, _, sending = delivery(1, *[SendFailed("busy", permanent=False)] * GIVE_UP_AFTER)
    for _ in range(GIVE_UP_AFTER):
        sending.step()
        clock.pass_seconds(400)
    assert states(outbox) == {DeliveryState.DEAD}


def test_a_fault_in_the_channel_loses_nothing():
    _, outbox, _, sending = delivery(2, RuntimeError("boom"))
    sending.step()
    assert states(outbox) == {DeliveryState.PENDING}


def test_the_delay_doubles_up_to_five_minutes():
    delays = [next_delay_seconds(attempt, None, 0.5, LONGEST_DELAY_SECONDS) for attempt in (0, 1, 2, 20)]
    assert delays == [1.0, 2.0, 4.0, 300.0]
