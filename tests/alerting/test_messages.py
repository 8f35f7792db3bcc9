import pytest
from slack_sdk.models.blocks import HeaderBlock, SectionBlock

from monitor_core.alerting.messages import clean, escape, plain_text, slack_message
from monitor_core.incidents import Change, Counterfactual, Kind, State
from monitor_core.notifications import Event
from tests.builders import T0, incident, notification

LATER = T0 + 660_000


def test_the_text_of_an_opened_message_is_the_originals_line():
    message = slack_message([notification()], None, LATER)
    assert message.text == "ALERT! High metrics detected: CPU = 92.3% | Mem = 88.1% | Disk = 95.6%"


def test_a_simulated_host_is_marked_in_text_and_header():
    message = slack_message([notification(simulated=True)], None, LATER)
    assert message.text.startswith("[simulated] ")
    assert message.blocks[0]["text"]["text"].startswith("[simulated] [CRITICAL] web-3")


def test_a_resolved_message_says_how_long_it_lasted():
    over = notification(event=Event.RESOLVED, state=State.RESOLVED, resolved_at=LATER)
    assert slack_message([over], None, LATER).text.startswith("[RESOLVED after 11 min] web-3")


def test_a_silent_host_is_a_sentence_of_its_own():
    silent = notification(kind=Kind.SILENT, title="No samples for 30 s", evidence=())
    assert slack_message([silent], None, LATER).text == "ALERT! web-3: No samples for 30 s"


def test_waiting_messages_are_joined_and_the_rest_is_counted():
    message = slack_message([notification(i) for i in range(15)], None, LATER)
    assert message.text.endswith("and 12 more")
    assert len(message.blocks) == 7


@pytest.mark.parametrize("count", [1, 3, 60])
@pytest.mark.parametrize("title", ["<!channel> & <http://x|y>", "x" * 40_000, "a\nb\x00c\u202ed", ""])
def test_every_payload_is_within_slacks_limits(count, title):
    normal = Counterfactual(title, ())
    items = [notification(i, title=title, detail=title, counterfactual=normal) for i in range(count)]
    message = slack_message(items, "https://monitor.example", LATER)
    assert len(message.blocks) <= 50
    for block in message.blocks:
        if block["type"] == "header":
            HeaderBlock(**{**block, "type": None}).validate_json()
        elif block["type"] == "section":
            SectionBlock(**{**block, "type": None}).validate_json()
    assert len(message.text) <= 3_000


def test_nobody_is_rung_by_a_host_that_is_called_like_a_command():
    message = slack_message([notification(detail="<!channel>", title="<!here>")], None, LATER)
    assert "<!" not in message.blocks[1]["text"]["text"]
    assert "<!" not in message.text


def test_escape_touches_only_what_slack_names():
    assert escape('a & b < c > d * _ "') == 'a &amp; b &lt; c &gt; d * _ "'


def test_clean_makes_one_visible_line():
    assert clean("a\r\nb\u202e\u200bc") == "a  bc"


def test_links_carry_the_host_quoted():
    message = slack_message([notification(host="a:b")], "https://m.example/", LATER)
    assert "https://m.example/host?host=a%3Ab&range=1h" in message.blocks[1]["text"]["text"]


def test_plain_text_names_the_incident():
    assert "[CRITICAL] web-3" in plain_text([notification()], None, LATER)
    assert incident().title in plain_text([notification()], None, LATER)


def explained(event=Event.OPENED, **changes):
    normal = Counterfactual("Normal with CPU ≤ 46 % <or> less, over a few samples", ((Change("cpu", 46.0, True),),))
    return notification(event=event, since=T0 - 60_000, detector="robust_z", counterfactual=normal, **changes)


def test_an_opened_message_says_since_when_which_detector_and_what_would_be_normal():
    text = slack_message([explained()], None, LATER).blocks[1]["text"]["text"]
    assert "(12 min), far from the last hour_" in text
    assert "\nNormal with CPU ≤ 46 % &lt;or&gt; less, over a few samples.\n" in text
    assert "Normal with CPU ≤ 46 % <or> less" in plain_text([explained()], None, LATER)


def test_what_is_over_is_normal_and_needs_no_advice():
    over = explained(Event.RESOLVED, state=State.RESOLVED, resolved_at=LATER)
    assert "Normal with" not in slack_message([over], None, LATER).blocks[1]["text"]["text"]
    assert "Normal with" not in plain_text([over], None, LATER)
