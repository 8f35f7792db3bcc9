import logging
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from monitor_core.alerting.channels.base import SendFailed
from monitor_core.alerting.channels.slack import SlackChannel, retry_after
from tests.alerting.slack_stub import RESET, SECRET_PATH, SlackStub
from tests.builders import T0, notification

NOW = datetime(2026, 11, 24, tzinfo=UTC)
ANSWERS = [
    ((429, {"Retry-After": "86400"}), False, 60.0),
    ((429, {"Retry-After": "20"}), False, 20.0),
    ((429, {"Retry-After": "soon"}), False, None),
    ((429, {}), False, None),
    ((500, {}), False, None),
    ((503, {"Retry-After": "9"}), False, None),
    (RESET, False, None),
    ((400, {}), True, None),
    ((403, {}), True, None),
    ((404, {}), True, None),
    ((307, {"Location": "http://127.0.0.1:1/elsewhere"}), True, None),
]


@pytest.mark.parametrize(("answer", "permanent", "wait"), ANSWERS)
def test_it_tells_what_can_be_tried_again_from_what_cannot(answer, permanent, wait, caplog):
    caplog.set_level(logging.DEBUG)
    with SlackStub([answer]) as slack, pytest.raises(SendFailed) as failed:
        SlackChannel(slack.url).send([notification()], T0)
    assert (failed.value.permanent, failed.value.retry_after_seconds) == (permanent, wait)
    assert slack.bodies == []
    assert SECRET_PATH not in f"{failed.value!r} {failed.value.__cause__} {failed.value.__context__ and ''}"


def test_the_webhook_shows_nowhere(capsys):
    channel = SlackChannel("https://hooks.slack.com" + SECRET_PATH)
    assert "canary" not in f"{channel!r} {channel}"
    with pytest.raises(ValueError, match="https") as refused:
        SlackChannel("ftp://x" + SECRET_PATH)
    assert "canary" not in str(refused.value)


def test_an_unreachable_slack_is_temporary_and_silent_about_the_address():
    with pytest.raises(SendFailed) as failed:
        SlackChannel("http://127.0.0.1:1" + SECRET_PATH).send([notification()], T0)
    assert not failed.value.permanent
    assert "canary" not in str(failed.value)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("-5", 0.0),
        ("nan", None),
        ("1e9", 60.0),
        (format_datetime(NOW + timedelta(seconds=30)), 30.0),
        (format_datetime(NOW - timedelta(days=1)), 0.0),
    ],
)
def test_retry_after_is_read_and_clamped(header, seconds):
    assert retry_after(header, NOW) == seconds
